"""Phantom sets on disk: the same bytes for the same seed, completed where they were cut, never over something else."""

import hashlib
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from support.orphans import all_end_with_it
from support.owning import begun, held, wait_for
from support.power_cut import Disk, Tree, put, watched

from simcrop.adapters.sources.phantom import write_phantoms, writer
from simcrop.adapters.system.locks import holds_nothing
from simcrop.core.errors import DataError

NUM_CASES = 8


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_the_same_seed_gives_the_same_bytes_with_one_process(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "again", num_cases=NUM_CASES, seed=6, workers=1)
    assert digest(tmp_path / "again") == digest(phantoms)


def test_an_interrupted_set_is_completed_to_the_same_bytes(phantoms: Path, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise InterruptionError

    folder = tmp_path / "cut"
    with pytest.raises(InterruptionError):
        write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=1, progress=interrupt)
    written = {path: path.stat().st_mtime_ns for path in folder.glob("dataset/**/*.nii.gz")}
    lost, _ = written.popitem()
    torn, _ = written.popitem()
    assert written
    lost.write_bytes(b"")  # by a power cut
    content = torn.read_bytes()
    torn.write_bytes(content[:-2000] + bytes(2000))
    masks = sorted(folder.glob("ground_truth/*/*.nii.gz"))
    masks[0].write_bytes(b"")
    masks[-1].unlink()
    (folder / "ground_truth" / ".a.draft").mkdir()  # by a kill
    write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=1)
    assert any(path.stat().st_mtime_ns == time for path, time in written.items())
    assert digest(folder) == digest(phantoms)
    assert not list(folder.rglob(".*"))


def test_a_power_cut_at_any_instant_leaves_what_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Tree] = []

    def cut(disk: Disk) -> None:
        left.extend([disk.strict(), disk.early()])

    disk = watched(tmp_path, monkeypatch, cut)
    write_phantoms(tmp_path / "set", num_cases=2, seed=6, workers=1)
    left += [disk.strict(), disk.early()]
    disk.close()
    monkeypatch.undo()
    whole = {path.relative_to(tmp_path).as_posix(): path for path in (tmp_path / "set").rglob("*") if path.is_file()}
    marked = [tree for tree in left if "set/phantom.json" in tree]
    assert 2 <= len(marked) < len(left)
    for tree in marked:
        assert {name: tree.get(name) for name in whole} == {name: path.read_bytes() for name, path in whole.items()}
    halfway = [tree for tree in left if "set/phantom.json" not in tree and any(name.endswith(".gz") for name in tree)]
    for number, tree in enumerate((halfway[0], halfway[len(halfway) // 2], halfway[-1])):
        put(tree, tmp_path / f"{number}")
        write_phantoms(tmp_path / f"{number}" / "set", num_cases=2, seed=6, workers=1)
        assert digest(tmp_path / f"{number}" / "set") == digest(tmp_path / "set")


def test_a_complete_set_is_left_alone_and_other_parameters_are_refused(phantoms: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")}
    write_phantoms(phantoms, num_cases=NUM_CASES, seed=6)
    assert {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")} == before
    with pytest.raises(DataError, match=r"seed is 6, asked for 7.*choose another folder or delete it"):
        write_phantoms(phantoms, num_cases=NUM_CASES, seed=7)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds no phantoms"):
        write_phantoms(tmp_path, num_cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_of_two_processes_one_writes_and_the_other_leaves_or_waits(tmp_path: Path) -> None:
    with held(tmp_path / "set"):
        (tmp_path / "set" / "at work").unlink()
        with pytest.raises(DataError, match="has been working here since"):
            write_phantoms(tmp_path / "set", num_cases=2, workers=1)
        assert holds_nothing(tmp_path / "set")
    write_phantoms(tmp_path / "set", num_cases=2, workers=1)  # the first was killed before it wrote anything
    both = [begun(write_and_wait, tmp_path / "both") for _ in range(2)]
    for each in both:
        each.join(300)
        assert each.exitcode == 0
    assert digest(tmp_path / "both") == digest(tmp_path / "set")


def test_makers_that_no_lock_keeps_apart_leave_a_whole_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantoms(tmp_path / "set", num_cases=2, workers=1)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / ".phantom.partial.json.1.draft").touch()  # by one that was killed at its beginning
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode: False)  # what cannot be written to is not locked
        both = [begun(write_and_wait, tmp_path / "both") for _ in range(3)]
        for each in both:
            each.join(300)
    assert any(each.exitcode == 0 for each in both)
    assert digest(tmp_path / "both") == digest(tmp_path / "set")


def test_workers_that_outlive_their_process_take_nothing_from_the_next(tmp_path: Path) -> None:
    write_phantoms(tmp_path / "alone", num_cases=2, workers=1)
    folder = tmp_path / "set"
    first = begun(write_in_parts, folder)
    wait_for(lambda: any(folder.glob("ground_truth/*")), first)
    workers = [int(number) for number in Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()]
    try:
        first.kill()
        first.join()
        write_phantoms(folder, num_cases=2, workers=1)
        assert digest(folder) == digest(tmp_path / "alone")
    finally:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)


def test_a_file_that_vanishes_meanwhile_is_named_and_the_set_is_not_marked(tmp_path: Path) -> None:
    def remove(done: int, total: int) -> None:
        for mask in tmp_path.glob("set/ground_truth/*/trachea.nii.gz"):
            mask.unlink()

    with pytest.raises(DataError, match=r"trachea.nii.gz: vanished while .*set was written; see who removes it, and"):
        write_phantoms(tmp_path / "set", num_cases=2, seed=6, workers=1, progress=remove)
    write_phantoms(tmp_path / "set", num_cases=2, seed=6, workers=1)
    assert list(tmp_path.glob("set/ground_truth/*/trachea.nii.gz"))


def write_in_parts(folder: Path) -> None:
    write_phantoms(folder, num_cases=2, workers=2)


def write_and_wait(folder: Path) -> None:
    write_phantoms(folder, num_cases=2, workers=1, waits=True)


def test_a_worker_that_the_system_ends_is_one_line_and_the_set_goes_on(
    phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(writer, "render", lambda study, grid: os.kill(os.getpid(), signal.SIGKILL))
        with pytest.raises(DataError, match=r"^one of 2 processes was ended by the system, .* run the same command"):
            write_phantoms(tmp_path / "set", num_cases=NUM_CASES, seed=6, workers=2)
    write_phantoms(tmp_path / "set", num_cases=NUM_CASES, seed=6, workers=2)
    assert digest(tmp_path / "set") == digest(phantoms)


MAKES_FOR_EVER = """
import os, pathlib, time
from simcrop.adapters.sources.phantom import write_phantoms, writer

def wait(*arguments):
    os.write(1, b".")
    time.sleep(600)

writer.render = wait
write_phantoms(pathlib.Path({folder!r}), num_cases=4, workers=2)
"""


def test_makers_end_with_a_command_that_is_killed(tmp_path: Path) -> None:
    assert all_end_with_it(MAKES_FOR_EVER.format(folder=str(tmp_path / "set")), ready=2)


@pytest.mark.parametrize(("cases", "fraction"), [(0, 0.3), (3, 1.0), (3, -0.1)])
def test_impossible_parameters_are_refused(tmp_path: Path, cases: int, fraction: float) -> None:
    with pytest.raises(DataError, match="out of range"):
        write_phantoms(tmp_path / "none", num_cases=cases, validation_fraction=fraction)
