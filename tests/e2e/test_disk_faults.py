"""Faults of disks during a run are one line each, and the run goes on from its last checkpoint afterwards."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.tiny_data import write_config

from simcrop_cli.__main__ import main

CLOCK_KEYS = {"studies_per_second", "data_wait"}
OPTIONS = ("train.steps=6", "train.evaluate_every=6", "train.picture_every=6", "train.trackers=[]")


def train(folder: Path, out: Path) -> int:
    settings = [part for option in OPTIONS for part in ("--set", option)]
    return main(["train", str(folder / "tiny.yaml"), "--out", str(out), *settings])


def rows(run: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl without what the clock decides."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK_KEYS} for line in lines]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, tiny.yaml, and an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    write_config(folder)
    assert train(folder, folder / "run") == 0
    return folder


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on standard error, which has no traceback."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text.splitlines()[-1]


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, where whoever tests may mount one."""
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size=50m,{options}", "tmpfs", folder], check=False, capture_output=True
    )
    if mounting.returncode:
        pytest.skip(f"no file system can be mounted here ({mounting.stderr.decode().strip()})")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command mount")
def test_a_disk_without_inodes_is_one_line_and_more_of_them_go_on(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with small_disk(tmp_path / "disk", "nr_inodes=6") as disk:
        out = disk / "run"
        # Each of the numbers ends the run somewhere else.
        for number in (7, 9, 11, 14, 17, 22, 26):
            subprocess.run(["mount", "-o", f"remount,nr_inodes={number}", disk], check=True)
            assert train(whole, out) == 1, number
            line = told(capsys)
            assert line.startswith(f"simcrop: {out}"), number
            assert "No space left on device" in line, number
            assert "free some space" in line, number
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", disk], check=True)
        assert train(whole, out) == 0
        assert rows(out) == rows(whole / "run")


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no command mount")
def test_a_disk_that_is_read_only_is_one_line(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with small_disk(tmp_path / "disk", "mode=755") as disk:
        shutil.copytree(whole / "run", disk / "run")
        (disk / "run" / "summary.json").unlink()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for out in (disk / "run", disk / "new"):
            capsys.readouterr()
            assert train(whole, out) == 1
            assert told(capsys).startswith(f"simcrop: --out {out}: cannot be ")


def disturbed(at_step: int, what: Any, monkeypatch: pytest.MonkeyPatch, run: Path) -> None:
    """Do something to the disk once, when a step is about to be drawn or saved."""
    fsync, done = os.fsync, list[bool]()

    def watched(descriptor: int) -> None:
        if not done and (run / "metrics.jsonl").exists() and len(rows(run)) >= at_step:
            done.append(True)
            what()
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)


@pytest.mark.parametrize("is_moved", [False, True], ids=["removed", "moved"])
def test_a_run_folder_that_vanishes_is_one_line_and_no_new_one_is_made(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_moved: bool
) -> None:
    out, other = tmp_path / "run", tmp_path / "other"
    with monkeypatch.context() as patch:
        disturbed(3, lambda: out.rename(other) if is_moved else shutil.rmtree(out), patch, out)
        assert train(whole, out) == 1
    line = told(capsys)
    assert line.startswith(f"simcrop: {out}/")
    assert line.endswith(": was removed or moved while it was in use; put it back, or resume where it is now")
    assert not out.exists()
    if is_moved:
        assert [row["step"] for row in rows(other)][:3] == [1, 2, 3]
        assert train(whole, other) == 0
        assert rows(other) == rows(whole / "run")


@pytest.mark.parametrize("is_cut", [False, True], ids=["deleted", "cut"])
def test_prepared_volumes_that_go_during_a_run_are_one_line_and_are_made_anew(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    write_config(tmp_path)
    out = tmp_path / "run"

    def lose() -> None:
        arrays = [path for path in (tmp_path / "prepared").rglob("*") if path.suffix in (".npy", ".b2nd")]
        assert arrays
        for path in arrays:
            path.write_bytes(path.read_bytes()[:500]) if is_cut else path.unlink()

    with monkeypatch.context() as patch:
        disturbed(3, lose, patch, out)
        assert train(tmp_path, out) == 1
    line = told(capsys)
    assert line.startswith(f"simcrop: {tmp_path / 'prepared'}/")
    assert (out / "checkpoints" / "latest").read_text() == "step_00000003\n"
    assert train(tmp_path, out) == 0
    assert rows(out) == rows(whole / "run")


def test_a_clock_that_jumps_back_changes_nothing(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, now = tmp_path / "run", time.time
    shutil.copytree(whole / "run", out, ignore=shutil.ignore_patterns("step_00000006", "summary.json", "latest"))
    (out / "checkpoints" / "latest").write_text("step_00000003\n")
    (out / "checkpoints" / ".step_00000006.draft").mkdir()
    for path in [*out.rglob("*"), out]:
        os.utime(path, (now() + 3600, now() + 3600))
    calls = iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: now() - 86400 - 60 * next(calls))
    assert train(whole, out) == 0
    assert rows(out) == rows(whole / "run")
    assert not list((out / "checkpoints").glob(".*"))
