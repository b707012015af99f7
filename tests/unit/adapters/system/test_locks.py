"""One process at a time owns a folder; what a dead one left is taken over where its death is known."""

import errno
import json
import logging
import multiprocessing
import os
import platform
import random
import re
import threading
import time
import warnings
from pathlib import Path
from typing import NoReturn

import filelock
import pytest
from support.owning import FORK, RECORD, begun, held, wait_for, write_record

from simcrop.adapters.system import locks
from simcrop.adapters.system.locks import holds_nothing, owned
from simcrop.core.errors import ConfigError, DataError

ROUNDS = 20


def content(folder: Path) -> dict[str, tuple[int, bytes]]:
    paths = [path for path in folder.iterdir() if path.name != ".simcrop.lock"]
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def refusal(folder: Path) -> str:
    """What the second process is told; it finds the folder as it was, and leaves it so."""
    before = content(folder)
    with pytest.raises(DataError) as caught, owned(folder):
        pytest.fail("two processes own it")
    assert content(folder) == before
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_second_process_is_told_of_the_first(tmp_path: Path) -> None:
    with held(tmp_path) as first:
        line = refusal(tmp_path)
    since = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
    who = rf"process {first.pid} on {platform.node()} has been working here since {since}"
    assert re.fullmatch(rf"{tmp_path}: {who}; wait until it is done, stop it, or name another folder", line)


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with owned(folder):
        assert holds_nothing(folder)
        (folder / "..simcrop.lock.json.1.draft").touch()  # by a kill
        assert holds_nothing(folder)
        (folder / "..simcrop.lock.json.1.draft").rename(folder / "result")
        assert not holds_nothing(folder)
    assert [path.name for path in folder.iterdir()] == ["result"]


def test_a_folder_that_was_made_in_vain_goes_again(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        with owned(folder):
            raise ConfigError("--resume: no such checkpoint")

    with pytest.raises(ConfigError, match="--resume"):
        fail(tmp_path / "run")
    (tmp_path / "kept").mkdir()
    with pytest.raises(ConfigError, match="--resume"):
        fail(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with owned(tmp_path / "kept"):
        pass


def test_what_a_killed_process_left_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with held(tmp_path) as first:
        pass
    assert json.loads((tmp_path / RECORD).read_text())["process"] == first.pid
    with caplog.at_level(logging.INFO, "simcrop"), owned(tmp_path):
        assert json.loads((tmp_path / RECORD).read_text())["process"] == os.getpid()
    assert f"process {first.pid} on {platform.node()} ended without cleaning up" in caplog.text


def with_a_child(folder: Path, child: "multiprocessing.SimpleQueue[int]") -> None:
    """Own a folder, and start a process that outlives this one."""
    with owned(folder):
        orphan = FORK.Process(target=time.sleep, args=(300,))
        orphan.start()
        child.put(orphan.pid or 0)
        (folder / "at work").touch()
        time.sleep(300)


def test_a_worker_that_outlives_its_process_holds_nothing(tmp_path: Path) -> None:
    child = FORK.SimpleQueue()
    process = begun(with_a_child, tmp_path, child)
    wait_for((tmp_path / "at work").exists, process)
    orphan = child.get()
    process.kill()
    process.join()
    try:
        os.kill(orphan, 0)
        with owned(tmp_path):
            pass
    finally:
        os.kill(orphan, 9)


def test_another_host_is_believed_for_five_minutes(tmp_path: Path) -> None:
    record = write_record(tmp_path)
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path}: process 4711 on node7 has been working here since 2026-01-02 03:04:05+00:00; ")
    assert line.endswith(f"; if it is gone, delete {tmp_path}/.simcrop.lock* or wait 5 minutes")
    now = time.time()
    os.utime(record, (now, now - 200))
    refusal(tmp_path)
    os.utime(record, (now, now - 400))
    with owned(tmp_path):
        pass


def test_the_line_of_another_host_says_how_to_free_the_folder(tmp_path: Path) -> None:
    write_record(tmp_path)
    refusal(tmp_path)
    for path in tmp_path.glob(".simcrop.lock*"):
        path.unlink()
    with owned(tmp_path):
        pass


@pytest.mark.parametrize(
    "known",
    [
        {"host": platform.node(), "boot": "before it was started anew"},
        {"host": "another-container", "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip()},
    ],
    ids=["a reboot", "a container"],
)
def test_what_this_machine_can_know_dead_is_taken_over_at_once(tmp_path: Path, known: dict[str, str]) -> None:
    write_record(tmp_path, **known)
    with owned(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"host": 1}', "\x00\xff", '{"host":"a","process":"b","since":"","boot":""}']
)
def test_a_record_that_says_nothing_holds_nobody_up(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_bytes(text.encode("latin-1"))
    (tmp_path / ".simcrop.lock").write_text("garbage")
    with owned(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_an_owner_whose_record_is_damaged_owns_the_folder(tmp_path: Path) -> None:
    with held(tmp_path):
        (tmp_path / RECORD).write_text("{")
        line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path}: a process works here; ")
    assert line.endswith(f"; if it is gone, delete {tmp_path}/.simcrop.lock*")


def test_the_owner_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEW_SECONDS", 0.01)
    with owned(tmp_path):
        os.utime(tmp_path / RECORD, (1, 1))
        wait_for(lambda: (tmp_path / RECORD).stat().st_mtime > 2)
        (tmp_path / RECORD).unlink()  # whoever frees the folder by hand does not end the owner
        time.sleep(0.05)


def test_parts_of_a_folder_have_owners_of_their_own(tmp_path: Path) -> None:
    with held(tmp_path, part="_1_of_2"):
        with owned(tmp_path, part="_2_of_2"):
            pass
        with pytest.raises(DataError, match="has been working here"), owned(tmp_path, part="_1_of_2"):
            pass


def test_a_folder_that_is_replaced_has_its_lock_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "export"
    with owned(out, beside=True):
        assert not out.exists()
        with pytest.raises(DataError, match=f"^{out}: process"), owned(out, beside=True):
            pass
        with owned(tmp_path / "another", beside=True):
            pass
    assert not list(tmp_path.iterdir())


def test_whoever_waits_goes_on_when_the_owner_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(locks, "WAIT_SECONDS", 0.01)
    with held(tmp_path) as first:
        threading.Timer(0.6, first.kill).start()
        with caplog.at_level(logging.INFO, "simcrop"), owned(tmp_path, waits=True):
            assert not first.is_alive()
    assert caplog.text.count(f"waiting: {tmp_path}: process {first.pid} on ") == 1


def test_a_folder_that_cannot_be_written_to_is_read_without_a_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with owned(tmp_path):
        assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=f"^--out {tmp_path}/file/run: cannot be made"), owned(tmp_path / "file/run"):
        pass


def test_a_lock_of_another_user_says_how_to_free_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(filelock.FileLock):
        def acquire(self, *_: object, **__: object) -> NoReturn:
            raise PermissionError(errno.EACCES, "Permission denied", self.lock_file)

    monkeypatch.setattr(locks, "FileLock", Foreign)
    line = refusal(tmp_path)
    assert line.startswith(f"{tmp_path}: another user's process works here, or has left {tmp_path}/.simcrop.lock (Perm")
    assert line.endswith(f"; if it is gone, delete {tmp_path}/.simcrop.lock*")


def test_where_the_file_system_has_no_locks_a_file_stands_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "FileLock", filelock.SoftFileLock)
    with warnings.catch_warnings(action="error"), held(tmp_path) as first:
        assert f"process {first.pid} on {platform.node()}" in refusal(tmp_path)
    with owned(tmp_path):  # killed meanwhile
        pass
    assert not list(tmp_path.iterdir())
    (tmp_path / ".simcrop.lock").write_text("4711\nnode7\n")
    write_record(tmp_path)
    assert refusal(tmp_path).endswith(f"if it is gone, delete {tmp_path}/.simcrop.lock*")


def count(folder: Path) -> None:
    """Own the folder as often as it can be had, and add a line each time: read, and write anew."""
    while not (folder / "end").exists():
        try:
            with owned(folder):
                path = folder / "lines"
                before = path.read_text() if path.exists() else ""
                (folder / "now").write_text(str(os.getpid()))
                time.sleep(0.001)
                if (folder / "now").read_text() != str(os.getpid()):
                    (folder / "two at a time").touch()
                path.write_text(before + f"{os.getpid()}\n")
        except DataError:
            continue


def test_processes_that_are_killed_all_the_time_never_own_it_two_at_a_time(tmp_path: Path) -> None:
    draw = random.SystemRandom()
    crowd = [begun(count, tmp_path) for _ in range(3)]
    try:
        for number in range(ROUNDS):
            time.sleep(draw.uniform(0, 0.05))
            crowd[number % 3].kill()
            crowd[number % 3].join()
            crowd[number % 3] = begun(count, tmp_path)
        lines = (tmp_path / "lines").read_text()
        wait_for(lambda: len((tmp_path / "lines").read_text()) > len(lines))
    finally:
        (tmp_path / "end").touch()
        for process in crowd:
            process.join(10)
            process.kill()
    assert not (tmp_path / "two at a time").exists()
