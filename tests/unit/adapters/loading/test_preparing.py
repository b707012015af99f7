"""Preparing volumes: whole or not at all, what changed alone, and bad ones beside the others."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.data_folders import AFFINE, chest, write_ct_rate

from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.core.data.problems import Problem
from simcrop.core.errors import ConfigError, DataError

NAMES = [f"train_{patient}_a_1" for patient in range(1, 6)]
GRID = Grid((4.0, 4.0, 8.0), (12, 12, 6))

PREPARE_FOR_EVER = f"""
import os, sys
from pathlib import Path
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid

source = CTRateSource(Path(sys.argv[1]))
number = 0
while True:
    number += 1
    for study in source.studies():
        os.utime(source.volume_file(study.reconstructions[0]), ns=(number, number))
    prepare(source, source.studies(), Grid({GRID.spacing_mm}, {GRID.size}), Path(sys.argv[2]))
"""


@pytest.fixture
def source(tmp_path: Path) -> CTRateSource:
    write_ct_rate(tmp_path / "data", NAMES)
    return CTRateSource(tmp_path / "data")


def _prepare(source: CTRateSource, cache: Path, workers: int = 1) -> PreparedVolumes:
    return prepare(source, source.studies(), GRID, cache, workers=workers)


def test_processes_and_this_process_write_the_same_bytes(source: CTRateSource, tmp_path: Path) -> None:
    one, two = _prepare(source, tmp_path / "one"), _prepare(source, tmp_path / "two", workers=2)
    for name in NAMES:
        assert one.array_file(name).read_bytes() == two.array_file(name).read_bytes()
    assert index(one) == index(two)


def test_only_what_changed_is_prepared_again(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    before = _times(prepared)
    write_nifti(source.volume_file(NAMES[1]), chest(99), AFFINE)
    os.utime(source.volume_file(NAMES[3]), ns=(1, 1))
    for path in prepared.array_file(NAMES[4]).parent.glob("index_*.jsonl"):
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if NAMES[4].encode() not in line) + b'{"name": "cut of')
    after = _times(_prepare(source, tmp_path))
    assert [name for name in NAMES if before[name] != after[name]] == [NAMES[1], NAMES[3], NAMES[4]]
    expected, _ = resample_volume(source.read_volume(NAMES[1]), GRID)
    assert torch.equal(_prepare(source, tmp_path).read(NAMES[1]), expected)


@pytest.mark.parametrize("index_time", [0, 4_070_908_800], ids=["1970", "2099"])
@pytest.mark.parametrize(("seed", "shift_mm"), [(99, 0.0), (0, 40.0)], ids=["other voxels", "the same elsewhere"])
def test_a_replaced_scan_is_the_one_that_is_read_whatever_the_time_of_the_first_index(
    source: CTRateSource, tmp_path: Path, index_time: int, seed: int, shift_mm: float
) -> None:
    prepared = _prepare(source, tmp_path)
    for path in prepared.folder.glob("index_*.jsonl"):
        os.utime(path, (index_time, index_time))
    affine = AFFINE.copy()
    affine[0, 3] += shift_mm
    write_nifti(source.volume_file(NAMES[0]), chest(seed), affine)
    os.utime(source.volume_file(NAMES[0]), ns=(1, 1))
    expected, expected_affine = resample_volume(source.read_volume(NAMES[0]), GRID)
    for _ in range(2):  # what was prepared just now, and what is found
        prepared = _prepare(source, tmp_path)
        assert torch.equal(prepared.read(NAMES[0]), expected)
        torch.testing.assert_close(prepared.affine(NAMES[0]), expected_affine)
    before = _times(prepared)
    assert _times(_prepare(source, tmp_path)) == before


def test_a_cut_off_array_is_prepared_again(source: CTRateSource, tmp_path: Path) -> None:
    prepared = _prepare(source, tmp_path)
    path = prepared.array_file(NAMES[0])
    path.write_bytes(path.read_bytes()[:-10])
    assert current(source, prepared) == NAMES[1:]
    assert _prepare(source, tmp_path).read(NAMES[0]).shape == GRID.size


def test_progress_counts_every_volume(source: CTRateSource, tmp_path: Path) -> None:
    counts: list[tuple[int, int]] = []
    prepare(source, source.studies()[:2], GRID, tmp_path, progress=lambda done, total: counts.append((done, total)))
    assert counts == [(0, 2), (1, 2), (2, 2)]
    counts.clear()
    prepare(source, source.studies(), GRID, tmp_path, progress=lambda done, total: counts.append((done, total)))
    assert counts == [(2, 5), (3, 5), (4, 5), (5, 5)]


@pytest.mark.parametrize("workers", [1, 2])
def test_one_bad_volume_does_not_stop_the_others(source: CTRateSource, tmp_path: Path, workers: int) -> None:
    source.volume_file(NAMES[0]).write_bytes(b"")
    source.volume_file(NAMES[2]).write_bytes(b"")
    with pytest.raises(DataError, match=r"train_1_a_1.nii.gz: is empty .*\(and 1 more .*data.quarantine"):
        _prepare(source, tmp_path, workers)
    prepared = PreparedVolumes(source, GRID, tmp_path)
    assert current(source, prepared) == [NAMES[1], NAMES[3], NAMES[4]]
    refused: dict[str, Problem] = {}
    prepare(source, source.studies(), GRID, tmp_path, workers=workers, refused=refused)
    assert {name: problem.code for name, problem in refused.items()} == dict.fromkeys(NAMES[0:3:2], "container.empty")


def test_a_killed_process_is_told_with_a_remedy(
    source: CTRateSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CTRateSource, "read_volume", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(DataError, match=r"ended by the system, .*use fewer workers"):
        _prepare(source, tmp_path, workers=2)


def test_a_file_that_vanished_is_named(source: CTRateSource, tmp_path: Path) -> None:
    source.volume_file(NAMES[0]).unlink()
    with pytest.raises(DataError, match=r"train_1_a_1.nii.gz: does not exist"):
        _prepare(source, tmp_path)


def test_a_cache_that_cannot_be_made_is_named(source: CTRateSource, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"^data.prepared \S+file/grid_\w+: cannot be made \(Not a directory\); name another folder$"
    ):
        _prepare(source, tmp_path / "file")


def test_a_kill_while_writing_leaves_whole_volumes_only(source: CTRateSource, tmp_path: Path) -> None:
    folder = PreparedVolumes(source, GRID, tmp_path / "cache").array_file(NAMES[0]).parent
    arguments = [str(tmp_path / "data"), str(tmp_path / "cache")]
    with subprocess.Popen([sys.executable, "-c", PREPARE_FOR_EVER, *arguments]) as process:
        while len(list(folder.glob("index_*.jsonl"))) < 3 and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    arrays = list(folder.glob("[!.]*.npy"))
    assert len(arrays) == len(NAMES)
    for path in arrays:
        expected, _ = resample_volume(source.read_volume(path.stem), GRID)
        assert np.array_equal(np.load(path), expected.numpy())
    prepared = PreparedVolumes(source, GRID, tmp_path / "cache")
    assert set(index(prepared)) == set(NAMES)
    assert all(torch.equal(prepared.read(name), resample_volume(source.read_volume(name), GRID)[0]) for name in NAMES)


def test_what_a_killed_process_was_writing_is_removed_later(source: CTRateSource, tmp_path: Path) -> None:
    folder = PreparedVolumes(source, GRID, tmp_path).array_file(NAMES[0]).parent
    folder.mkdir()
    old, new = folder / ".a.npy.1.draft", folder / ".b.npy.2.draft"
    for path in (old, new):
        path.touch()
    os.utime(old, (1, 1))
    _prepare(source, tmp_path)
    assert not old.exists()
    assert new.exists()


def test_a_disk_without_room_is_refused_before_any_work(
    source: CTRateSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    prepare(source, source.studies()[:1], GRID, tmp_path, say=said.append)
    assert said[0].startswith("preparing 1 volumes: 0.00 GB, ")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(DataError, match=r"4 volumes take 0\.0 GB and the disk has 0\.0 GB free"):
        _prepare(source, tmp_path)
    assert current(source, PreparedVolumes(source, GRID, tmp_path)) == NAMES[:1]


def index(prepared: PreparedVolumes) -> dict[str, dict[str, Any]]:
    """What the index says of each volume."""
    folder = prepared.array_file(NAMES[0]).parent
    lines = [line for path in folder.glob("index_*.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["name"]: row for row in map(json.loads, lines)}


def current(source: CTRateSource, prepared: PreparedVolumes) -> list[str]:
    """The volumes that need not be prepared."""
    return [name for name in NAMES if prepared.is_current(name, source_stamp(source, name))]


def _times(prepared: PreparedVolumes) -> dict[str, int]:
    return {name: prepared.array_file(name).stat().st_mtime_ns for name in NAMES}
