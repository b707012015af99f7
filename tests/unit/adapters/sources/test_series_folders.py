"""Folders of slices in a tree, by what their files hold, without reading all of them."""

from pathlib import Path
from typing import Any

from support.data_folders import write_volume
from support.dicom_series import HU, write_series

from simcrop.adapters.sources.series_folders import SeriesFolder, look_into, series_below
from simcrop.core.data.problems import Problem


def found_below(root: Path, **given: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Folder -> its series, and file -> the code of what is told of it."""
    told: list[Problem] = []
    found = {str(each.path.relative_to(root)): each.series for each in series_below(root, told.append, **given)}
    return found, {Path(each.file).name: each.code for each in told}


def test_every_folder_with_slices_is_found_whatever_their_names(tmp_path: Path) -> None:
    write_series(tmp_path / "b/series")
    write_series(tmp_path / "a")
    for path in (tmp_path / "a").iterdir():
        path.rename(path.with_suffix(".dat"))
    write_series(tmp_path / ".hidden")
    (tmp_path / "b/notes.txt").write_text("text")
    (tmp_path / "a/README").write_text("is told when the series is read")
    assert found_below(tmp_path) == ({"a": (), "b/series": ()}, {"notes.txt": "set.passed_over"})


def test_one_slice_among_many_other_files_is_found(tmp_path: Path) -> None:
    write_series(tmp_path, HU[:1])
    for number in range(100):
        (tmp_path / f"{number:03d}.txt").write_text("text")
    (tmp_path / "0.dcm").rename(tmp_path / "0501")
    assert found_below(tmp_path)[0] == {".": ()}


def test_volumes_of_a_folder_are_told_apart_and_small_series_left_out(tmp_path: Path) -> None:
    for uid, count in (("1.2.40", 10), ("1.2.41", 10), ("1.2.42", 2)):
        write_series(
            tmp_path / uid, HU[:count], change=lambda dataset, _, uid=uid: setattr(dataset, "SeriesInstanceUID", uid)
        )
        for path in (tmp_path / uid).iterdir():
            path.rename(tmp_path / f"{uid}_{path.name}")
        (tmp_path / uid).rmdir()
    folder = look_into(tmp_path, tmp_path, lambda problem: None)
    assert folder is not None
    assert list(folder.volumes("x")) == [("x#1.2.40", "1.2.40"), ("x#1.2.41", "1.2.41")]
    assert list(SeriesFolder(tmp_path).volumes("x")) == [("x", None)]


def test_volumes_of_other_formats_are_at_home_where_they_are_looked_for(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")
    (tmp_path / "b.hdr").write_bytes(b"")
    (tmp_path / "b.img").write_bytes(b"")
    (tmp_path / "c.img").write_bytes(b"")
    assert found_below(tmp_path, beside_volumes=True) == ({}, {"c.img": "set.passed_over"})
    assert set(found_below(tmp_path)[1]) == {"a.nii.gz", "b.hdr", "b.img", "c.img"}


def test_damaged_slices_are_a_folder_to_be_told_of(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(b"")
    assert found_below(tmp_path) == ({".": ()}, {})


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    told: list[Problem] = []
    assert look_into(tmp_path / "gone", tmp_path, told.append) is None
    assert [found.code for found in told] == ["container.unreadable"]
