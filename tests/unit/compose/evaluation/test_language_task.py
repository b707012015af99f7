"""Zero-shot reading, retrieval and grounding alike: their refusals, and a request to stop."""

import csv
from pathlib import Path

import pytest
from support.language_run import SHORT, Tiny

from simcrop_cli.__main__ import main
from simcrop_cli.signals import stop


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("simcrop: ")
    return last.removeprefix("simcrop: ")


@pytest.mark.parametrize("task", ["zeroshot", "retrieval", "grounding"])
def test_a_model_without_alignment_is_refused(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str
) -> None:
    run = tiny.run.parent / "blind"
    off = ["objectives.alignment.weight=0", "objectives.late_interaction.weight=0"]
    if not run.exists():
        sets = [part for option in (*SHORT, *off) for part in ("--set", option)]
        assert main(["train", str(tiny.config), "--out", str(run), *sets]) == 0
    assert tiny.evaluate(task, tmp_path, run=run) == 1
    line = one_line(capsys)
    assert line.startswith(f"{run}: was trained without alignment")
    assert "objectives.late_interaction.weight" in line
    assert not list(tmp_path.iterdir())


def changed(tiny: Tiny, **columns: str) -> str:
    """A setting that names the data with other columns."""
    table = tiny.config.parent / "studies" / "studies.csv"
    rows = [row | columns for row in csv.DictReader(table.open())]
    other = table.with_name("_".join(columns) + ".csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return f"data.manifest={other}"


def test_data_that_lacks_something_is_refused(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.evaluate("retrieval", tmp_path, changed(tiny, findings="")) == 1
    assert one_line(capsys).startswith("data: 0 of 10 held-out studies have findings to search by, and it takes two;")
    (tmp_path / "empty").mkdir()
    assert tiny.evaluate("grounding", tmp_path, f"grounding.folder={tmp_path / 'empty'}") == 1
    assert one_line(capsys).startswith("data: none of the 10 held-out studies has a mask of a finding that its report")
    assert tiny.evaluate("zeroshot", tmp_path, "labels.names=[Emphysma]") == 1
    assert "'Emphysma' is no label column of the data" in one_line(capsys)
    assert tiny.evaluate("zeroshot", tmp_path, "labels.names=[Pleural effusion]") == 1
    assert one_line(capsys).startswith("single-class split: none of the 1 labels has both classes among the 10 studies")
    for task in ("zeroshot", "retrieval", "grounding"):
        assert tiny.evaluate(task, tmp_path, changed(tiny, split="train")) == 1
        assert one_line(capsys).startswith("data: no study is held out to test on; raise data.validation_fraction")
    assert tiny.evaluate("zeroshot", tmp_path, changed(tiny, findings=""), "labels.names=[Emphysema]") == 0
    assert "the training reports assert no finding; built-in sentences were used" in capsys.readouterr().out


@pytest.mark.parametrize("task", ["zeroshot", "retrieval", "grounding"])
def test_a_request_to_stop_ends_early_with_its_status(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(_: object) -> bool:
        stop.signal = 15
        return True

    monkeypatch.setattr(type(stop), "__call__", stopped)
    batch = ("evaluation.batch_size=3", "retrieval.weights=equal", f"data.prepared={tmp_path / 'prepared'}")
    assert tiny.evaluate(task, tmp_path / "out", *batch) == 143
    assert f"{tmp_path / 'out'}: stopped" in capsys.readouterr().out
    assert list((tmp_path / "out").iterdir()) == []
