"""The command line: exit statuses, one-line errors, and commands that do what they print."""

import threading
from pathlib import Path

import pytest
from support.tiny_data import write_config

from simcrop.adapters.config.settings import config_from_tree, load_config
from simcrop.adapters.config.yaml_text import parse_yaml
from simcrop_cli.__main__ import main

COMMANDS = (("train",), ("info",), ("data", "phantom"), ("data", "prepare"), ("bench",))


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
    place, reason = f"{tmp_path}/file/below/phantom.json", "Not a directory"
    line = capsys.readouterr().err.splitlines()[-1]
    assert line == f"simcrop: {place}: {reason}; correct that, then run the same command again"


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


def test_options_reach_the_configuration_and_a_dry_run_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_config(tmp_path), tmp_path / "run"
    overrides = ["train.steps=7", "train.warmup_steps=1"]
    options = [part for override in overrides for part in ("--set", override)]
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(path), "--out", str(out), "--dry-run", *options]) == 0
    printed = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    resolved = printed[printed.index("\nname: ") :]
    assert config_from_tree(parse_yaml(resolved, "printed"), "printed") == load_config(path, overrides)
    assert "7 of 4 studies on each process: 4.7 epochs of 6 studies" in printed


def test_prepare_then_train_then_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_config(tmp_path), tmp_path / "run"
    short = ["--set", "train.steps=2", "--set", "train.warmup_steps=0", "--set", "train.evaluate_every=2"]
    assert main(["data", "prepare", str(path)]) == 0
    prepared = {file: file.stat().st_mtime_ns for file in (tmp_path / "prepared").rglob("*.npy")}
    assert len(prepared) == 8
    assert main(["train", str(path), "--out", str(out), *short]) == 0
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert {file: file.stat().st_mtime_ns for file in prepared} == prepared
    capsys.readouterr()
    assert main(["train", str(path), "--out", str(out), *short]) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert main(["train", str(path), "--out", str(out), *short, "--set", "model.depth=2"]) == 1
    assert "simcrop: model.depth: 2 differs from 1" in capsys.readouterr().err
    assert main(["info", str(out)]) == 0
    facts = capsys.readouterr().out
    assert "tiny, step 2 of 2, seed 0" in facts
    assert "(16, 16, 16) voxels" in facts


def test_info_says_what_runs_here_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert {"python", "torch", "triton", "operations"} <= set(lines)
    assert lines["operations"].startswith(("triton", "reference, plain torch ("))


def test_info_of_no_checkpoint_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(tmp_path / "nothing")]) == 1
    assert "nothing: no such folder" in capsys.readouterr().err


def test_phantoms_are_the_same_bytes_as_those_of_a_run_with_the_same_seed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for folder, seed in zip(folders, ("3", "3", "4"), strict=True):
        assert main(["data", "phantom", str(folder), "--cases", "2", "--seed", seed]) == 0
    assert "2 studies" in capsys.readouterr().out
    first, second, other = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        for folder in folders
    )
    assert first == second != other
    assert any(name.suffixes[-2:] == [".nii", ".gz"] for name in first)
