"""The options of `simcrop` itself."""

import pytest

import simcrop
from simcrop_cli.__main__ import main


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"simcrop {simcrop.__version__}\n"


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr()
    assert "Pre-train 3D vision transformers" in shown.out + shown.err
    assert "--version" in shown.out + shown.err
