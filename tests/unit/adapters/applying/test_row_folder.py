"""Features in a folder: kept through a stop, one result whatever came between, never of two models."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from simcrop.adapters.applying.journal import Entry
from simcrop.adapters.applying.row_folder import RowFolder, RowFormat
from simcrop.adapters.formats.array_files import read_arrays
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.core.errors import ConfigError

ABOUT = {"weights_sha256": "abc"}
STAMP = {"name": "x", "bytes": 1, "mtime_ns": 1}
SCANS = ["b/1.nii.gz", "a/2.nii.gz", "../3.nii.gz"]


def row(number: int) -> np.ndarray:
    return np.full(4, number / 3, np.float32)


def add(folder: RowFolder, *numbers: int) -> None:
    for number in numbers:
        folder.add(Entry(SCANS[number], "done", 0.1, STAMP), row(number), np.ones((3, 4), np.float32))


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_table_has_its_rows_in_order_and_goes_on_after_a_stop(form: RowFormat, tmp_path: Path) -> None:
    folder = RowFolder(tmp_path, "features", ABOUT, form=form)
    add(folder, 2)
    assert not folder.is_done(SCANS[2], STAMP), "nothing is on disk yet"
    folder.flush()
    add(folder, 1)  # lost, as by a kill
    folder = RowFolder(tmp_path, "features", ABOUT, form=form)
    assert [folder.is_done(scan, STAMP) for scan in SCANS] == [False, False, True]
    add(folder, 0, 1)
    folder.finish(SCANS)
    assert {path.name for path in tmp_path.iterdir()} == {"scans.jsonl", f"features.{form}", "features.json"}
    rows = read_table(folder.result)
    assert [*rows] == SCANS
    assert all(np.array_equal(rows[scan], row(number)) for number, scan in enumerate(SCANS))
    again = RowFolder(tmp_path, "features", ABOUT, form=form)
    assert all(again.is_done(scan, STAMP) for scan in SCANS)
    before = folder.result.read_bytes()
    again.finish(SCANS)
    assert folder.result.read_bytes() == before
    again.finish(SCANS[:1])
    assert [*read_table(folder.result)] == SCANS[:1]


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_a_file_of_each_scan_has_its_features_and_tokens_and_says_what_they_are(
    form: RowFormat, tmp_path: Path
) -> None:
    folder = RowFolder(tmp_path, "features", ABOUT, form=form)
    add(folder, 0, 2)
    folder.finish(SCANS)
    assert [folder.is_done(scan, STAMP) for scan in SCANS] == [True, False, True]
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(f"*.{form}")) == [
        f"features/_/3.nii.gz.{form}",
        f"features/b/1.nii.gz.{form}",
    ]
    kept, about = read_arrays(tmp_path / f"features/b/1.nii.gz.{form}", ["features", "tokens"])
    assert np.array_equal(kept["features"], row(0))
    assert kept["features"].dtype == np.float32
    assert kept["tokens"].shape == (3, 4)
    assert json.loads(about or "") == {"weights_sha256": "abc", "format": form, "scan": SCANS[0]}
    rows = read_table(folder.result)
    assert {name: each.tolist() for name, each in rows.items()} == {SCANS[n]: row(n).tolist() for n in (0, 2)}


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_a_file_that_a_power_cut_left_is_written_again(form: RowFormat, tmp_path: Path) -> None:
    folder = RowFolder(tmp_path, "features", ABOUT, form=form)
    add(folder, 0, 1, 2)
    paths = [folder.result / name for name in (f"b/1.nii.gz.{form}", f"a/2.nii.gz.{form}")]
    whole = paths[0].read_bytes()
    paths[0].write_bytes(b"")
    paths[1].write_bytes(paths[1].read_bytes()[:-40])
    folder = RowFolder(tmp_path, "features", ABOUT, form=form)
    assert [folder.is_done(scan, STAMP) for scan in SCANS] == [False, False, True]
    add(folder, 0, 1)
    assert all(folder.is_done(scan, STAMP) for scan in SCANS)
    assert len(paths[0].read_bytes()) == len(whole)


def test_parts_of_a_divided_job_share_a_folder(tmp_path: Path) -> None:
    for number in (0, 1):
        folder = RowFolder(tmp_path, "features", ABOUT, form="csv", shard=(number, 2))
        add(folder, number)
        folder.finish([SCANS[number]])
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == [
        "features.json",
        "features_1_of_2.csv",
        "features_2_of_2.csv",
        "scans_1_of_2.jsonl",
        "scans_2_of_2.jsonl",
    ]


def test_a_damaged_part_costs_its_scans_alone(tmp_path: Path) -> None:
    folder = RowFolder(tmp_path, "features", ABOUT, form="csv")
    for number in (0, 1):
        add(folder, number)
        folder.flush()
    first = min((tmp_path / "unfinished").iterdir())
    first.write_bytes(first.read_bytes()[:50])
    folder = RowFolder(tmp_path, "features", ABOUT, form="csv")
    assert [folder.is_done(scan, STAMP) for scan in SCANS[:2]] == [False, True]


def test_the_later_row_of_a_scan_counts_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RowFolder(tmp_path, "features", ABOUT, form="csv")
    add(folder, 0)
    folder.flush()
    before = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: before - 10**12)
    folder.add(Entry(SCANS[0], "done", 0.1, {**STAMP, "mtime_ns": 2}), row(1))
    folder.flush()
    RowFolder(tmp_path, "features", ABOUT, form="csv").finish(SCANS)
    assert np.array_equal(read_table(folder.result)[SCANS[0]], row(1))


def test_features_of_another_model_are_not_mixed_in(tmp_path: Path) -> None:
    RowFolder(tmp_path, "features", ABOUT, form="csv")
    assert json.loads((tmp_path / "features.json").read_text()) == {"weights_sha256": "abc", "format": "csv"}
    with pytest.raises(ConfigError, match="holds features of another model or kind"):
        RowFolder(tmp_path, "features", {"weights_sha256": "def"}, form="csv")
    with pytest.raises(ConfigError, match="another model or kind"):
        RowFolder(tmp_path, "features", ABOUT, form="npz")


def test_a_scan_without_its_page_is_not_done_where_pages_are_wanted(tmp_path: Path) -> None:
    folder = RowFolder(tmp_path, "predictions", ABOUT)
    assert folder.pages is None
    add(folder, 0, 2)
    folder.flush()
    folder = RowFolder(tmp_path, "predictions", ABOUT, has_pages=True)
    assert folder.pages == tmp_path / "pages"
    pages = [folder.page_file(scan).relative_to(tmp_path).as_posix() for scan in SCANS]
    assert pages == ["pages/b/1.nii.gz.html", "pages/a/2.nii.gz.html", "pages/_/3.nii.gz.html"]
    folder.page_file(SCANS[0]).parent.mkdir(parents=True)
    folder.page_file(SCANS[0]).touch()
    assert [folder.is_done(scan, STAMP) for scan in SCANS] == [True, False, False]
