"""`simcrop info`: facts of this machine and of a checkpoint."""

from pathlib import Path

import pytest

from simcrop_cli.__main__ import main


def test_info_says_what_runs_here_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"python", "torch", "triton", "operations"} <= set(lines)
    assert lines["operations"].startswith(("triton", "reference, plain torch ("))


def test_info_of_no_checkpoint_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nothing")]) == 1
    assert "nothing: no such folder" in capsys.readouterr().err
