"""Every command that writes says in one line that no file can grow any more."""

from pathlib import Path

import pytest
from support.full_disk import files_of_at_most
from support.tiny_data import write_config

from simcrop_cli.__main__ import main

SHORT = (
    "train.steps=2",
    "train.warmup_steps=0",
    "train.evaluate_every=2",
    "train.picture_every=1",
    "evaluation.bootstrap=9",
)
KB = 1000


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A configuration, and a run trained on it."""
    folder = tmp_path_factory.mktemp("full")
    config = write_config(folder)
    assert main(["train", str(config), "--out", str(folder / "run"), *sets(*SHORT)]) == 0
    return config, folder / "run"


def sets(*options: str) -> list[str]:
    return [part for option in options for part in ("--set", option)]


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("command", "num_bytes", "message"),
    [
        (
            "train {config} --out {out}",
            0,
            "{out}/.simcrop.lock.json: File too large; free some space, then run the same",
        ),
        ("train {config} --out {out}", 5 * KB, "{out}/pictures/step_00000001_reconstruction.png: File too large; free"),
        ("train {config} --out {out}", 80 * KB, "a file that was being written: File too large; free some space, then"),
        (
            "train {config} --out {out} --set train.picture_every=9 --set train.checkpoint_every=1",
            9 * KB,
            "{out}/checkpoints/step_00000001: cannot be written (Error while",
        ),
        ("data phantom {out} --cases 1", 3 * KB, "{out}/ground_truth/train_1_a_1: File too large; free some space,"),
        ("data prepare {config} --set data.prepared={out}", 4 * KB, "{out}/grid_"),
        ("data prepare {config} --set data.prepared={out}", 9 * KB, "{out}/grid_"),
        ("data check {bad} --report {out}", 0, "{out}: File too large; free some space, then run the same command"),
        ("eval retrieval {config} --checkpoint {run} --out {out}", 9 * KB, "{out}/pictures/recall.png: File too"),
        ("locate --checkpoint {run} --volume {volume} --sentence Heart. --out {out}.png", 9 * KB, "{out}.png: File"),
        ("locate --checkpoint {run} --volume {volume} --sentence Heart. --out {out}.nii", 9 * KB, "{out}.nii: File"),
        ("export --checkpoint {run} --out {out}", 9 * KB, "--out {out}: cannot be written ([Errno 27] File too large"),
        (
            "export --checkpoint {run} --out {out} --format authors",
            9 * KB,
            "--out {out}: cannot be written ([Errno 27]",
        ),
        ("export --checkpoint {run} --out {out} --format monai", 9 * KB, "--out {out}: cannot be written (Error while"),
    ],
)
def test_a_full_disk_is_one_line(
    tiny: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    num_bytes: int,
    message: str,
) -> None:
    config, run = tiny
    monkeypatch.chdir(tmp_path)
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.nii.gz").touch()
    volume = config.parent / "studies" / "0.nii.gz"
    places = {"config": config, "run": run, "out": tmp_path / "out", "bad": bad, "volume": volume}
    arguments = [part.format(**places) for part in command.split()]
    if arguments[0] in ("train", "eval"):
        arguments[2:2] = sets(*SHORT)
    if arguments[1] in ("check", "retrieval"):
        main(arguments)  # fills the caches, which are told of in words of their own
    with files_of_at_most(num_bytes):
        assert main(arguments) == 1
    told = capsys.readouterr().err
    assert "Traceback" not in told
    assert told.splitlines()[-1].startswith(f"simcrop: {message.format(**places)}")
    assert "free" in told.splitlines()[-1]
