"""Files and folders appear whole or not at all, and what the system refuses names the file."""

import errno
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from support.modes import UMASKS, umask, wrong_modes

from simcrop.adapters.system.files import (
    append_line,
    first_folder,
    make_folder,
    naming,
    remove_drafts,
    remove_folder,
    replace_text,
    sha256_of,
    whole_file,
    whole_folder,
    writing,
)
from simcrop.core.errors import CheckpointError, ConfigError, DataError

FORK = multiprocessing.get_context("fork")
ERRORS = (OSError(errno.ENOSPC, "No space left on device"), SystemExit(143), KeyboardInterrupt())
KILLS = 12
SIZE = 300_000
"""Bytes of a file that is written again and again: enough for a kill to fall between the first and the last."""


def fail_halfway(path: Path, error: BaseException) -> None:
    with whole_file(path) as file:
        file.write(b"half")
        raise error


def fail_in_folder(path: Path, error: BaseException) -> None:
    with whole_folder(path) as draft:
        (draft / "below").mkdir()
        (draft / "below" / "a.txt").write_text("half")
        raise error


def make(path: Path, text: str) -> None:
    with whole_folder(path) as draft:
        (draft / "below").mkdir()
        (draft / "below" / "a.txt").write_text(text)


def test_a_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    replace_text(path, "first µ")
    for error in ERRORS:
        with pytest.raises(type(error)):
            fail_halfway(path, error)
        assert path.read_bytes() == "first µ".encode()
    replace_text(path, "second")
    assert path.read_text() == "second"
    with whole_file(path, durable=False) as file:
        file.write(b"third")
    assert path.read_text() == "third"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "up" / "a"
    make(path, "first")
    for error in ERRORS:
        with pytest.raises(type(error)):
            fail_in_folder(path, error)
        assert (path / "below" / "a.txt").read_text() == "first"
    make(path, "second")
    assert (path / "below" / "a.txt").read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_files_and_folders_have_the_modes_that_the_umask_gives(tmp_path: Path, mask: int) -> None:
    other, here = tmp_path / "other", tmp_path / "here"
    make(other, "copied with its mode")
    (other / "below").chmod(0o700)
    (other / "below" / "a.txt").chmod(0o755)
    with umask(mask):
        make_folder(here / "made")
        with whole_file(here / "file") as file:
            file.write(b"a")
        replace_text(here / "text", "a")
        append_line(here / "lines", {})
        with whole_folder(here / "up" / "folder") as draft:
            shutil.copytree(other, draft / "copy")
            save_file({"a": torch.zeros(2)}, draft / "a.safetensors")
            (draft / "link").symlink_to(other / "below" / "a.txt")
    assert wrong_modes(here, mask) == []
    assert wrong_modes(other, 0o022) == ["below 700", "below/a.txt 755"], "what is copied or linked is another's"
    assert len(list(here.rglob("*"))) == 11


def test_a_shared_folder_hands_its_group_on(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    make(tmp_path / "folder", "a")
    assert (tmp_path / "folder" / "below").stat().st_mode & 0o2000


def test_of_several_that_write_a_folder_the_first_whole_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "up" / "a"
    with first_folder(path) as one:
        (one / "a").write_text("one")
        with first_folder(path) as two:
            for name in "ab":
                (two / name).write_text("two")
        (one / "b").write_text("one")
    assert [(path / name).read_text() for name in "ab"] == ["two", "two"]
    with pytest.raises(OSError, match="No space left on device") as refused, first_folder(tmp_path / "up" / "b"):
        write_to_a_full_disk()
    assert refused.value.filename == str(tmp_path / "up" / "b")
    assert list(path.parent.iterdir()) == [path]


def test_what_a_kill_left_of_a_folder_does_not_get_into_the_next(tmp_path: Path) -> None:
    for rest in (".a.draft", ".a.gone"):
        (tmp_path / rest).mkdir()
        (tmp_path / rest / "b.txt").touch()
    make(tmp_path / "a", "new")
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == ["a", "a/below", "a/below/a.txt"]


def write_without_end(folder: Path) -> None:
    """What the process that is killed does: a file and a folder of one digit each, again and again."""
    for number in range(10**6):
        digit = str(number % 10).encode()
        with whole_file(folder / "file") as file:
            file.writelines([digit * (SIZE // 2)] * 2)
        with whole_folder(folder / "folder") as draft:
            for name in ("a", "b"):
                (draft / name).write_bytes(digit * SIZE)


def test_a_kill_at_any_instant_leaves_whole_ones(tmp_path: Path) -> None:
    draw, torn = random.SystemRandom(), 0
    for _ in range(KILLS):
        process = FORK.Process(target=write_without_end, args=(tmp_path,))
        process.start()
        while not (tmp_path / "folder").exists() and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        process.kill()
        process.join()
        torn += any(path.name.startswith(".") for path in tmp_path.iterdir())
        contents = [tmp_path / "file"]
        if (tmp_path / "folder").exists():  # its place is empty for an instant while another takes it
            contents += [tmp_path / "folder" / name for name in ("a", "b")]
        for path in contents:
            content = path.read_bytes()
            assert content == content[:1] * SIZE, path
        assert len({path.read_bytes()[:1] for path in contents[1:]}) <= 1, "both files of a folder are of one writing"
        remove_drafts(tmp_path)
        assert {path.name for path in tmp_path.iterdir()} <= {"file", "folder"}
    assert torn > KILLS // 4, "the kills must hit the writing, not the time between"


def append(path: Path, digit: bytes) -> None:
    for _ in range(20):
        with whole_file(path) as file:
            file.write(digit * SIZE)


def test_several_processes_may_write_one_file(tmp_path: Path) -> None:
    processes = [FORK.Process(target=append, args=(tmp_path / "a", digit)) for digit in (b"1", b"2")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    content = (tmp_path / "a").read_bytes()
    assert content == content[:1] * SIZE


def test_drafts_are_removed_when_nobody_can_be_writing_them(tmp_path: Path) -> None:
    for name in (".a.npy.1.draft", ".b.npy.2.draft", ".hidden", "kept.draft"):
        (tmp_path / name).touch()
    (tmp_path / ".c.draft" / "below").mkdir(parents=True)
    (tmp_path / ".d.gone").mkdir()
    for old in (".a.npy.1.draft", ".c.draft"):
        os.utime(tmp_path / old, (1, 1))
    remove_drafts(tmp_path, older_than_s=3600)
    assert {path.name for path in tmp_path.iterdir()} == {".b.npy.2.draft", ".d.gone", ".hidden", "kept.draft"}
    remove_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", "kept.draft"}
    remove_drafts(tmp_path / "absent")


def test_a_folder_that_goes_loses_its_name_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "a", "text")
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda path, **options: None)  # a kill before anything is removed
        remove_folder(tmp_path / "a")
    assert [path.name for path in tmp_path.iterdir()] == [".a.gone"]
    make(tmp_path / "a", "text")
    remove_folder(tmp_path / "a")
    assert not list(tmp_path.iterdir())


def write_to_a_full_disk() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")


def test_a_refused_write_names_its_file(tmp_path: Path) -> None:
    for path, block in ((tmp_path / "a", naming), (tmp_path / "b", whole_file), (tmp_path / "c", whole_folder)):
        with pytest.raises(OSError, match="No space left on device") as refused, block(path):
            write_to_a_full_disk()
        assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(path))


def test_last_bytes_that_found_no_room_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No space left on device") as refused, whole_file(tmp_path / "a") as file:
        file.seek(10)  # what a library believes that it has written
    assert (refused.value.errno, refused.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    assert not list(tmp_path.iterdir())


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"^of a library$"), naming(tmp_path / "a"):
        raise OSError("of a library")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as refused:
        replace_text(tmp_path / "file" / "below", "x")
    assert refused.value.filename == str(tmp_path / "file" / "below")


@pytest.mark.parametrize("error", [OSError("why"), SafetensorError("why")])
@pytest.mark.parametrize("kind", [DataError, CheckpointError])
def test_what_the_disk_refuses_becomes_one_line(error: Exception, kind: type[CheckpointError]) -> None:
    with pytest.raises(kind, match=r"^it: cannot be written \(why\); do that$"), writing("it", kind, "do that"):
        raise error
    with pytest.raises(KeyError), writing("it", kind, "do that"):
        raise KeyError


def test_a_folder_that_cannot_be_made_or_written_to_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file" / "run", tmp_path / "file"):
        with pytest.raises(ConfigError, match=rf"^--out {out}: cannot be made .*; name another folder$"):
            make_folder(out)
    make_folder(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write everywhere
    with pytest.raises(ConfigError, match=rf"^--out {tmp_path}: cannot be written to; change its permissions, or name"):
        make_folder(tmp_path)
    with pytest.raises(ConfigError, match=rf"^a.key {tmp_path}: cannot be written to"):
        make_folder(tmp_path, "a.key")


def test_a_hash_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert sha256_of(tmp_path / "a") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
