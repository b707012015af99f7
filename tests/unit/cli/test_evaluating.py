"""A folder of results that cannot be made or written to is known before anything is loaded."""

from pathlib import Path

import pytest
from support.tiny_data import CONFIG

from simcrop_cli.__main__ import main

TASKS = ("probe", "knn", "finetune", "zeroshot", "retrieval", "grounding", "segment")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("out", ["file", "file/below"])
def test_an_out_that_is_a_file_is_named_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, out: str
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(CONFIG.format(manifest=tmp_path / "nothing.csv", prepared=tmp_path / "prepared"))
    for name in ("file", "nothing.csv"):
        (tmp_path / name).touch()
    if task == "segment":
        pytest.importorskip("monai")
    assert main(["eval", task, str(config), "--checkpoint", "nowhere", "--out", str(tmp_path / out)]) == 1
    reason = {"file": "File exists", "file/below": "Not a directory"}[out]
    assert capsys.readouterr().err == (
        f"simcrop: --out {tmp_path}/{out}: cannot be made ({reason}); name another folder\n"
    )
