"""A folder's files by series: what belongs together, what lies beside, and which volume is meant."""

from pathlib import Path
from typing import Any

import pytest
from support.dicom_series import HU, Change, write_series

from simcrop.adapters.formats.dicom_headers import Kind
from simcrop.adapters.formats.dicom_series import Contents, chosen, contents_of, files_in
from simcrop.core.data.problems import BadFileError


def of_series(uid: str, number: int | None = None, description: str = "", **more: Any) -> Change:
    """Slices of another series."""

    def change(dataset: Any, _: int) -> None:
        dataset.SeriesInstanceUID, dataset.SeriesDescription = uid, description
        dataset.SeriesNumber = number
        for name, value in more.items():
            setattr(dataset, name, value)

    return change


def merged(folder: Path, *parts: Path) -> Path:
    """All files of some folders in one."""
    folder.mkdir()
    for part in parts:
        for path in part.iterdir():
            path.rename(folder / f"{part.name}_{path.name}")
    return folder


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two volumes and the two slices of a third series in one folder."""
    write_series(tmp_path / "a", change=of_series("1.2.9", 4, "Lung  1.0"))
    write_series(tmp_path / "b", change=of_series("1.2.8", 3, "Soft 3.0"))
    write_series(tmp_path / "c", HU[:2], change=of_series("1.2.7", 2, "Bolus"))
    return merged(tmp_path / "two", tmp_path / "a", tmp_path / "b", tmp_path / "c")


def test_series_are_told_apart_by_their_uids(two: Path) -> None:
    contents = contents_of(two)
    assert [each.uid for each in contents.series] == ["1.2.7", "1.2.8", "1.2.9"]
    assert [each.uid for each in contents.volumes] == ["1.2.8", "1.2.9"]
    assert [each.num_slices for each in contents.series] == [2, 10, 10]
    assert (contents.beside, contents.damaged) == ((), ())


@pytest.mark.parametrize(
    ("wanted", "uid"), [("1.2.9", "1.2.9"), ("4", "1.2.9"), ("lung 1.0", "1.2.9"), ("03", "1.2.8"), ("Bolus", "1.2.7")]
)
def test_a_series_is_chosen_by_uid_number_or_description(two: Path, wanted: str, uid: str) -> None:
    assert chosen(two, contents_of(two), wanted).uid == uid


def test_a_number_that_a_spreadsheet_wrote_as_a_decimal_is_meant_where_no_description_is(
    two: Path, tmp_path: Path
) -> None:
    assert [chosen(two, contents_of(two), wanted).uid for wanted in ("4.0", "3,0", "\uff13")] == [
        "1.2.9",
        "1.2.8",
        "1.2.8",
    ]
    write_series(tmp_path / "d", change=of_series("1.2.6", 5, "4.0"))
    both = merged(tmp_path / "both", two, tmp_path / "d")
    assert chosen(both, contents_of(both), "4.0").uid == "1.2.6"
    assert refusal(two, "4.5")[0] == "container.no_series"


def refusal(folder: Path, wanted: str | None = None, contents: Contents | None = None) -> tuple[str, str]:
    with pytest.raises(BadFileError) as refused:
        chosen(folder, contents_of(folder) if contents is None else contents, wanted)
    return refused.value.problem.code, str(refused.value)


def test_several_volumes_without_a_choice_are_named(two: Path) -> None:
    code, message = refusal(two)
    assert code == "container.several"
    for part in ("2 CT volumes", "Soft 3.0 (number 3, 10 slices, 1.2.8)", "Lung 1.0 (number 4", "column series"):
        assert part in message
    assert "Bolus" not in message


def test_a_series_that_is_not_there_and_one_of_two_of_a_name(two: Path, tmp_path: Path) -> None:
    code, message = refusal(two, "Bone")
    assert code == "container.no_series"
    assert "holds no series 'Bone'; it holds Bolus (number 2" in message
    write_series(tmp_path / "d", change=of_series("1.2.6", 4, "Other"))
    both = merged(tmp_path / "both", two, tmp_path / "d")
    assert refusal(both, "4")[0] == "container.several"


def test_the_one_large_series_is_the_volume_and_without_one_the_largest(tmp_path: Path) -> None:
    write_series(tmp_path / "a", change=of_series("1.2.9"))
    write_series(tmp_path / "b", HU[:7], change=of_series("1.2.8"))
    write_series(tmp_path / "c", HU[:3], change=of_series("1.2.7"))
    small = merged(tmp_path / "small", tmp_path / "b", tmp_path / "c")
    assert chosen(small, contents_of(small), None).uid == "1.2.8"
    whole = merged(tmp_path / "whole", tmp_path / "a", small)
    assert chosen(whole, contents_of(whole), None).uid == "1.2.9"
    write_series(tmp_path / "same place", HU, step=(0, 0, 0), change=of_series("1.2.5"))
    assert contents_of(merged(tmp_path / "more", whole, tmp_path / "same place")).volumes[0].uid == "1.2.9"


def test_slices_of_subfolders_count_where_a_folder_has_none_of_its_own(tmp_path: Path) -> None:
    write_series(tmp_path / "patient/study/a", HU[:5])
    write_series(tmp_path / "patient/study/b", HU[5:])
    (tmp_path / "patient/notes.txt").write_text("text")
    contents = contents_of(tmp_path / "patient")
    assert [len(each.headers) for each in contents.series] == [10]
    assert [each.path.name for each in contents.beside] == ["notes.txt"]
    assert len(contents_of(tmp_path / "patient/study/a").series[0].headers) == 5
    write_series(tmp_path / "patient", HU[:2])
    assert len(contents_of(tmp_path / "patient").series[0].headers) == 2


def test_what_lies_across_the_others_is_a_localizer(tmp_path: Path) -> None:
    write_series(tmp_path / "a")
    write_series(tmp_path / "b", HU[:2], axes=((1, 0, 0), (0, 0, -1)))
    contents = contents_of(merged(tmp_path / "c", tmp_path / "a", tmp_path / "b"))
    assert [len(each.headers) for each in contents.series] == [10]
    assert [each.kind for each in contents.beside] == [Kind.LOCALIZER] * 2


def test_what_is_named_like_a_slice_and_is_none_is_damage(tmp_path: Path) -> None:
    write_series(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"IM{path.stem}")
    for name, data in (("IM10", b""), ("IM11", b"<html>"), ("IM12", b"text"), ("README", b"text"), ("LOCK", b"")):
        (tmp_path / name).write_bytes(data)
    contents = contents_of(tmp_path)
    told = {each.path.name: each.problem.code for each in contents.damaged if each.problem is not None}
    assert told == {"IM10": "container.empty", "IM11": "container.html", "IM12": "container.format"}
    assert [each.path.name for each in contents.beside] == ["LOCK", "README"]


def test_a_folder_without_slices_says_what_it_holds(tmp_path: Path) -> None:
    assert refusal(tmp_path) == ("container.no_series", refusal(tmp_path)[1])
    (tmp_path / "README").write_text("text")
    assert "README: no DICOM" in refusal(tmp_path)[1]
    (tmp_path / "a.dcm").write_bytes(b"")
    assert refusal(tmp_path)[0] == "container.empty"


def test_files_are_listed_by_name_without_hidden_ones_and_folders(tmp_path: Path) -> None:
    for name in ("b", "a", ".DS_Store", "._a"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder").mkdir()
    assert [path.name for path in files_in(tmp_path)] == ["a", "b"]
    with pytest.raises(BadFileError, match="cannot be read"):
        files_in(tmp_path / "gone")
