"""Lists of volumes and studies to leave out: how they are read, and what their names match."""

from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.adapters.sources.exclusions import ExcludedNames, exclude, read_list, said
from simcrop.core.data.problems import BadFileError, refuse
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import ConfigError

LIST = Path("list.txt")


def study(name: str, *volumes: str) -> Study:
    return Study(name, name, Report("", ""), volumes)


STUDIES = [
    study("valid_1_a", "valid_1_a_1", "valid_1_a_2"),
    study("valid_2_a", "valid_2_a_1"),
    study("P1/scan", "P1/scan.nii.gz"),
    study("P2/scan", "P2/scan.nii.gz"),
]


def left(*names: str) -> list[str]:
    return [volume for each in exclude(STUDIES, names, LIST).studies for volume in each.reconstructions]


@pytest.mark.parametrize("name", ["valid_1_a_2", "valid_1_a_2.nii.gz", "valid/valid_1/valid_1_a/valid_1_a_2.nii.gz"])
def test_a_volume_is_named_with_or_without_suffix_and_folders(name: str) -> None:
    found = exclude(STUDIES, [name], LIST)
    assert (list(found.volumes), list(found.unknown)) == (["valid_1_a_2"], [])
    assert found.studies[0].reconstructions == ("valid_1_a_1",)
    assert [each.study_id for each in found.studies] == [each.study_id for each in STUDIES]


def test_a_study_goes_with_all_of_its_volumes() -> None:
    assert left("valid_1_a") == ["valid_2_a_1", "P1/scan.nii.gz", "P2/scan.nii.gz"]
    assert left("P1/scan", "data/valid_2_a", r"D:\scans\P2\scan") == ["valid_1_a_1", "valid_1_a_2"]


def test_names_that_match_nothing_are_given_back() -> None:
    found = exclude(STUDIES, ["valid_3_a_1", "1_a_1", "valid_2_a_1", "P3/scan"], LIST)
    assert (list(found.volumes), list(found.unknown)) == (["valid_2_a_1"], ["valid_3_a_1", "1_a_1", "P3/scan"])


def test_a_name_that_may_be_of_several_studies_is_refused() -> None:
    message = (
        r"^data.exclude: list.txt: 'scan.nii.gz' may be of the study P1/scan or P2/scan; write it with its folder$"
    )
    with pytest.raises(ConfigError, match=message):
        exclude(STUDIES, ["scan.nii.gz"], LIST)


@given(st.sets(st.sampled_from([volume for each in STUDIES for volume in each.reconstructions])))
def test_what_is_named_goes_and_all_else_stays(names: set[str]) -> None:
    everything = [volume for each in STUDIES for volume in each.reconstructions]
    assert left(*sorted(names)) == [volume for volume in everything if volume not in names]


def test_it_remembers_which_names_of_the_list_were_asked_for() -> None:
    names = ExcludedNames.of(ExcludedNames(["a.txt"], ["b.txt", "c", "b.txt"]), ".txt")
    assert ("a" in names, "b" in names, "d" in names, "b.txt" in names) == (True, True, False, False)
    assert (names.listed, names.met, names.not_met) == (["b.txt", "c"], ["b"], ["c"])
    assert not names.isdisjoint({"c"})
    assert names.not_met == []
    assert (sorted(names), len(names)) == (["a", "b", "c"], 3)
    assert sorted(ExcludedNames.of(["a.txt", "b"], ".txt")) == ["a", "b"]


def test_what_a_list_came_to_is_one_line() -> None:
    assert said(LIST, ["a"], [], 1) == "data.exclude: list.txt leaves out 1 volume (a)"
    line = "data.exclude: list.txt leaves out 0 volumes; 5 of its 7 names match nothing here (v, w, x and 2 more)"
    assert said(LIST, [], ["v", "w", "x", "y", "z"], 7) == line


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a.nii.gz\n\n  b c \r\na.nii.gz\n"),
        ("list", "a.nii.gz\nb c"),
        ("list.csv", "VolumeName,why\na.nii.gz,brain\nb c,neck\n,\n"),
        ("list.csv", "why;Volume Name\nbrain;a.nii.gz\nneck;b c\n"),
        ("list.csv", "id,study_id\n1,a.nii.gz\n2,b c\n"),
        ("list.csv", "a.nii.gz\nb c\n"),
    ],
)
def test_lines_and_columns_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_list(tmp_path / name, refuse) == ["a.nii.gz", "b c"]


def test_a_column_of_a_workbook_is_read(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    for row in (["why", "volume"], ["brain", "a.nii.gz"], ["neck", "b c"]):
        workbook.worksheets[0].append(row)
    workbook.save(tmp_path / "list.xlsx")
    assert read_list(tmp_path / "list.xlsx", refuse) == ["a.nii.gz", "b c"]


def test_a_text_in_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("ä\nb\n", encoding="utf-16")
    assert read_list(tmp_path / "list.txt", refuse) == ["ä", "b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.txt", b"", r"list.txt: holds no name of a volume or study to leave out; write one a line"),
        ("list.txt", b"\x00\xff\xfe\x81", r"list.txt: cannot be read"),
        (
            "list.csv",
            b"a,b\n1,2\n",
            r"list.csv: has no column of names to leave out \(VolumeName, .*\); its columns are a, b",
        ),
        ("list.xlsx", b"PK\x03\x04", r"list.xlsx: "),
    ],
)
def test_a_bad_list_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFileError, match=message) as error:
        read_list(tmp_path / name, refuse)
    assert "\n" not in str(error.value)


def test_a_missing_list_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"list.txt: .*"):
        read_list(tmp_path / "list.txt", refuse)
