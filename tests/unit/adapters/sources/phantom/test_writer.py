"""Phantom sets on disk: the same bytes for the same seed, completed where they were cut, never over something else."""

import hashlib
import os
import signal
from pathlib import Path

import pytest
from support.orphans import all_end_with_it
from support.owning import begun, held

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
    assert written
    lost.write_bytes(b"")  # by a power cut
    write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=1)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert digest(folder) == digest(phantoms)


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
