"""One training of an evaluation, stopped and gone on."""

import json
from pathlib import Path

import pytest
from support.labelled_runs import Setting, evaluate

from simcrop.adapters.config.settings import load_config
from simcrop.compose.evaluation.finetune import finetune
from simcrop.core.errors import DataError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_stopped_fit_goes_on_and_ends_as_if_never_stopped(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = evaluate(finetune, setting.findings, tmp_path / "undisturbed")
    config, out, asked = load_config(setting.findings), tmp_path / "stopped", iter([False] * 4 + [True])
    assert not finetune(config, checkpoint=None, out=out, should_stop=lambda: next(asked))
    assert "stopped; the same command goes on from here" in capsys.readouterr().out
    assert not (out / "metrics.json").exists()
    assert (out / "training").is_dir()
    found = evaluate(finetune, setting.findings, out)
    assert "continuing the training from step" in capsys.readouterr().out
    assert found["metrics"] == expected["metrics"]
    assert found["warnings"] == ["no --checkpoint: the encoder was trained from scratch on these labels alone"]
    rows = [(folder / "training.jsonl").read_text().splitlines() for folder in (out, tmp_path / "undisturbed")]
    clockless = [[json.loads(line) | {"studies_per_second": 0, "data_wait": 0} for line in each] for each in rows]
    assert clockless[0] == clockless[1]
    assert not (out / "training").exists()


def test_a_data_worker_that_dies_during_a_step_is_told_in_one_line(setting: Setting, tmp_path: Path) -> None:
    asked = iter([False, True])

    def dies() -> bool:
        if next(asked):
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
        return False

    with pytest.raises(DataError, match=r"^data\.num_workers: a data worker was ended by the system"):
        finetune(load_config(setting.findings), checkpoint=None, out=tmp_path / "dead", should_stop=dies)
