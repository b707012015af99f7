"""The user's command after each checkpoint: in order, told of it, waited for, and never the end of a training."""

import logging
from pathlib import Path

import pytest
from support.owning import wait_for

from simcrop.adapters.checkpoints.after import AfterCheckpoint


def folders(run: Path, *steps: int) -> list[tuple[Path, int]]:
    return [(run / "checkpoints" / f"step_{step:08d}", step) for step in steps]


def test_it_is_told_of_each_checkpoint_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    after = AfterCheckpoint("echo $SIMCROP_STEP $SIMCROP_CHECKPOINT $SIMCROP_RUN; echo end >&2", Path("run"))
    with caplog.at_level(logging.INFO, "simcrop"):
        for folder, step in folders(Path("run"), 1, 2, 3):
            after(folder, step)
        after.finish()
    run = tmp_path / "run"
    told = [f"{step} {folder} {run}" for folder, step in folders(run, 1, 2, 3)]
    lines = [line for each in told for line in (f"train.after_checkpoint: {each}", "train.after_checkpoint: end")]
    assert caplog.messages == lines
    assert after.in_use() == frozenset()


def test_a_folder_is_in_use_until_its_command_has_ended(tmp_path: Path) -> None:
    after = AfterCheckpoint(f"echo begun >> {tmp_path}/log; until [ -e {tmp_path}/go ]; do sleep 0.01; done", tmp_path)
    for folder, step in folders(tmp_path, 1, 2):
        after(folder, step)
    wait_for((tmp_path / "log").exists)
    assert after.in_use() == {"step_00000001", "step_00000002"}
    assert (tmp_path / "log").read_text() == "begun\n", "the second waits for the first"
    (tmp_path / "go").touch()
    after.finish()
    assert after.in_use() == frozenset()


@pytest.mark.parametrize(
    ("command", "status", "last"),
    [
        ("echo one; echo 'no such bucket' >&2; exit 3", 3, "no such bucket"),
        ("exit 4", 4, "it printed nothing"),
        ("/no/such/command", 127, "/no/such/command: not found"),
        ("kill -9 $$", -9, "it printed nothing"),
        ("printf 'a\\377b'; exit 1", 1, "a\N{REPLACEMENT CHARACTER}b"),
    ],
)
def test_a_failure_is_one_warning_and_the_next_is_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, command: str, status: int, last: str
) -> None:
    after = AfterCheckpoint(f"[ $SIMCROP_STEP = 2 ] || {{ {command}\n}}", tmp_path)
    for folder, step in folders(tmp_path, 1, 2):
        after(folder, step)
    after.finish()
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    first = folders(tmp_path, 1)[0][0]
    assert warning.startswith(f"train.after_checkpoint: exit status {status} after {first} (")
    assert warning.endswith("); training goes on")
    assert last in warning
