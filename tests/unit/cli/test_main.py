"""The command line: exit statuses, one-line errors, and commands that do what they print."""

import logging
import threading
from pathlib import Path

import pytest

from simcrop_cli.__main__ import main

COMMANDS = (("train",), ("info",), ("data", "phantom"), ("data", "index"), ("data", "prepare"), ("bench",))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert f"Example: simcrop {' '.join(command)} " in capsys.readouterr().out


def test_help_lists_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = capsys.readouterr().out
    assert main(["data", "--help"]) == 0
    listed += capsys.readouterr().out
    assert all(command[-1] in listed for command in COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["train", "a.yaml", "--nonsense"], ["nonsense"], ["data", "nonsense"], ["bench", "nonsense"]],
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "Usage" in capsys.readouterr().err


def test_an_error_is_one_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run.yaml").write_text("train: {stepz: 3}")
    assert main(["train", str(tmp_path / "run.yaml")]) == 1
    streams = capsys.readouterr()
    assert streams.err == f"simcrop: {tmp_path}/run.yaml: train.stepz: unknown key; did you mean steps?\n"
    assert streams.out == ""


def test_a_file_that_the_system_refuses_is_one_line_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["data", "phantom", str(tmp_path / "file" / "below"), "--cases", "2"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    place = f"phantoms in {tmp_path}/file/below"
    assert line == f"simcrop: {place}: cannot be made (Not a directory); name another folder"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(28, "No space left on device"), "a file that was being written: No space left on device; free some "
                                                 "space, then run the same command again"),
        (OSError(28, "No space left on device", "a.png"), "a.png: No space left on device; free some space, then run"),
        (OSError(12, "Cannot allocate memory"), "the operating system refuses: Cannot allocate memory; correct that,"),
    ],
)  # fmt: skip
def test_an_error_of_the_system_is_one_line_with_a_remedy(
    error: OSError, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(**options: object) -> None:
        raise error

    monkeypatch.setattr("simcrop_cli.__main__.app", refused)
    assert main(["info"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"simcrop: {line}")
    assert told.count("\n") == 1


def test_what_fails_in_a_thread_of_any_other_library_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[type[BaseException]] = []

    def work() -> None:
        raise OSError(28, "No space left on device")

    def start(**options: object) -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    monkeypatch.setattr(threading, "excepthook", lambda failed: told.append(failed.exc_type))
    monkeypatch.setattr("simcrop_cli.__main__.app", start)
    assert main(["info"]) == 0
    assert told == [OSError]


def test_an_error_of_a_library_that_is_no_refusal_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(**options: object) -> None:
        raise OSError("a bug")

    monkeypatch.setattr("simcrop_cli.__main__.app", failed)
    with pytest.raises(OSError, match="a bug"):
        main(["info"])


@pytest.mark.parametrize(
    "arguments", [["data", "check", ""], ["embed", " ", "--out", "x"], ["train", "a.yaml", "--out="], ["--out", ""]]
)
def test_an_empty_argument_is_no_path(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "is empty, and would be the current directory" in capsys.readouterr().err


@pytest.mark.parametrize(("local", "rank", "speaks"), [("0", "0", True), ("0", "8", True), ("1", "1", False)])
def test_the_first_process_of_each_node_speaks(
    local: str, rank: str, speaks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_RANK", local)
    monkeypatch.setenv("RANK", rank)
    main(["--version"])
    assert logging.getLogger("simcrop").isEnabledFor(logging.INFO) is speaks
    monkeypatch.undo()
    main(["--version"])
    assert logging.getLogger("simcrop").isEnabledFor(logging.INFO)
