"""Manifests as hospitals' programs write them: each is read as it was meant, or named where nobody can tell."""

import csv
import unicodedata
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pytest
from pyarrow import parquet
from support.data_folders import chest, write_volume

from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.data.study import Report, Study

FINDINGS = ["Sağ akciğerde 3 mm nodül.", "Sol akciğerde 4 mm nodül.", "Efüzyon yok. Trakea açık."]
Rows = Sequence[Mapping[str, object]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_volume(tmp_path / f"scans/v{number}.nii.gz", chest(number))
    return tmp_path


def rows_of(*more: Mapping[str, object]) -> list[dict[str, object]]:
    """A row for each of the three volumes; `more` adds to the first, the second ..."""
    extra = [*more, {}, {}, {}]
    return [{"volume": f"scans/v{k}.nii.gz", "findings": FINDINGS[k], "impression": "", **extra[k]} for k in range(3)]


def csv_text(rows: Rows, delimiter: str = ",") -> str:
    buffer = StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), delimiter=delimiter, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def read(path: Path, data: str | bytes | None = None) -> tuple[list[Study], list[Problem]]:
    """The studies of a table, and what is told while it is read."""
    if data is not None:
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    told: list[Problem] = []
    return list(ManifestSource(path, on_problem=told.append).studies()), told


def codes(told: Sequence[Problem]) -> list[str]:
    return [found.code for found in told]


@pytest.mark.parametrize("blank", ["nan", "NaN", "NA", "None", "NULL", "#N/A", "-", "--", " ", "\u00a0", "", "?"])
def test_blank_study_ids_merge_nothing(folder: Path, blank: str) -> None:
    rows = rows_of({"study_id": "s0"}, {"study_id": blank}, {"study_id": blank})
    studies, (note,) = read(folder / "t.csv", csv_text(rows))
    assert [study.study_id for study in studies] == ["s0", "scans/v1", "scans/v2"]
    assert [study.report.findings for study in studies] == FINDINGS
    assert (note.code, note.values["rows"]) == ("text.blank_id", 2)


@pytest.mark.parametrize(
    "blank", ["nan", "NaN", "<NA>", "none", "null", "n/a", "—", "\t", "\u3000", "#REF!", "unknown"]
)
def test_blank_patient_ids_make_no_patient(folder: Path, blank: str) -> None:
    rows = rows_of(*[{"patient_id": blank}] * 3)
    studies, (note,) = read(folder / "t.csv", csv_text(rows))
    assert [study.patient_id for study in studies] == ["scans/v0", "scans/v1", "scans/v2"]
    assert (note.code, note.values["rows"]) == ("text.blank_id", 3)
    ids = [{"study_id": f"s{number}", "patient_id": blank} for number in range(3)]
    assert [study.patient_id for study in read(folder / "t.csv", csv_text(rows_of(*ids)))[0]] == ["s0", "s1", "s2"]


def test_a_study_named_like_the_volume_of_another_row_stays_apart(folder: Path) -> None:
    studies, _ = read(folder / "t.csv", csv_text(rows_of({"study_id": "scans/v1"}, {"study_id": "nan"})))
    assert [study.study_id for study in studies] == ["scans/v1", "scans/v1.nii.gz", "scans/v2"]


def test_the_patient_of_a_study_is_what_the_first_of_its_rows_says_that_says_something(folder: Path) -> None:
    rows = rows_of({"study_id": "s", "patient_id": "nan"}, {"study_id": "s", "patient_id": "p"}, {"study_id": "t"})
    rows[2]["patient_id"] = "p"
    assert [study.patient_id for study in read(folder / "t.csv", csv_text(rows))[0]] == ["p", "p"]


def test_spellings_of_a_patient_are_one_and_those_of_a_study_stay_apart(folder: Path) -> None:
    ids = [{"study_id": study, "patient_id": patient} for study, patient in (("s", " p1 "), ("S", "P1"), ("s ", "p1 "))]
    studies, told = read(folder / "t.csv", csv_text(rows_of(*ids)))
    assert [(study.study_id, study.patient_id, len(study.reconstructions)) for study in studies] == [
        ("s", "p1", 2),
        ("S", "p1", 1),
    ]
    assert codes(told) == ["text.same_id", "text.same_id", "text.two_reports"]
    studies, _ = read(folder / "t.csv", csv_text(rows_of({"study_id": "s"}, {"study_id": "S"}, {"study_id": "t"})))
    assert [study.patient_id for study in studies] == ["s", "s", "t"]


def test_reports_of_one_study_that_differ_are_told(folder: Path) -> None:
    studies, told = read(folder / "t.csv", csv_text(rows_of(*[{"study_id": "1.2E+04"}] * 2, {"study_id": "t"})))
    assert studies[0].report == Report(FINDINGS[0], "")
    assert codes(told) == ["text.ruined_id", "text.two_reports"]
    assert told[1].message == "has a report on line 3 of t.csv that is not that on line 2, which is read"
    rows = rows_of({"study_id": "s", "findings": "nan"}, {"study_id": "s"}, {"study_id": "s", "findings": FINDINGS[1]})
    (study,), told = read(folder / "t.csv", csv_text(rows))
    assert (study.report.findings, codes(told)) == (FINDINGS[1], [])


def test_rows_without_any_value_are_skipped_and_counted(folder: Path) -> None:
    rows = [dict.fromkeys(rows_of()[0], ""), *rows_of(), *[dict.fromkeys(rows_of()[0], "nan")] * 2]
    text = csv_text([{**row, "": ""} for row in rows])
    (folder / "t.csv").write_text(text)
    told: list[Problem] = []
    source = ManifestSource(folder / "t.csv", on_problem=told.append)
    assert [(found.code, found.values["lines"]) for found in told] == [("text.blank_rows", [2, 6, 7])]
    found = check_source(source, told, folder / "cache", max_tokens=64, workers=1)
    assert (found.num_volumes, found.num_errors) == (3, 0)


@pytest.mark.parametrize("blank", ["", " ", "nan", "-", "\u00a0"])
def test_a_report_without_a_volume_is_named_by_its_line(folder: Path, blank: str) -> None:
    studies, told = read(folder / "t.csv", csv_text(rows_of({}, {"volume": blank})))
    assert [study.study_id for study in studies] == ["scans/v0", "scans/v2"]
    (error,) = told
    assert (error.code, error.severity, error.values["line"]) == ("text.value", "error", 3)
    assert error.message == "line 3 has other cells and no volume"


def test_rows_that_speak_of_no_scan_are_skipped_and_counted(folder: Path) -> None:
    form = {"volume": "", "findings": "", "impression": "nan"}
    studies, told = read(folder / "t.csv", csv_text([{**row, "age": "61"} for row in rows_of(form, {}, form)]))
    assert [study.study_id for study in studies] == ["scans/v1"]
    assert [(found.code, found.severity, found.values["lines"]) for found in told] == [
        ("text.blank_rows", "note", [2, 4])
    ]


@pytest.mark.parametrize("volume", [".", "./", "scans/..", "scans"])
def test_a_folder_without_slices_is_told_as_such(folder: Path, volume: str) -> None:
    (folder / "t.csv").write_text(csv_text(rows_of({"volume": volume})))
    told: list[Problem] = []
    source = ManifestSource(folder / "t.csv", on_problem=told.append)
    found = check_source(source, told, folder / "cache", max_tokens=64, workers=1)
    assert found.num_errors == 1


VARIANTS: dict[str, bytes] = {
    "semicolon": csv_text(rows_of(), ";").encode(),
    "tab": csv_text(rows_of(), "\t").encode("utf-8-sig"),
    "bar": csv_text(rows_of(), "|").encode(),
    "Excel's own line": b"sep=;\r\n" + csv_text(rows_of(), ";").encode(),
    "UTF-16": csv_text(rows_of(), "\t").encode("utf-16"),
    "UTF-16 without its mark": csv_text(rows_of(), ";").encode("utf-16-le"),
    "heads in capitals with spaces": csv_text(rows_of()).replace("volume,findings", "Volume , FINDINGS", 1).encode(),
    "backslashes": csv_text(rows_of()).replace("scans/", "scans\\").encode(),
    "backslashes from the folder itself": csv_text(rows_of()).replace("scans/", ".\\scans\\").encode(),
    "old Mac": csv_text(rows_of()).replace("\r\n", "\r").encode(),
}


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_what_is_plain_is_read_without_a_word(folder: Path, variant: str) -> None:
    studies, told = read(folder / "t.csv", VARIANTS[variant])
    assert [study.report.findings for study in studies] == FINDINGS
    assert told == []
    source = ManifestSource(folder / "t.csv")
    assert [source.volume_file(study.reconstructions[0]) for study in studies] == [
        folder / f"scans/v{number}.nii.gz" for number in range(3)
    ]
    assert set(source.files()) == {folder / f"scans/v{number}.nii.gz" for number in range(3)}


def test_a_code_page_is_read_with_a_note_and_else_its_cause_is_named(folder: Path) -> None:
    studies, (note,) = read(folder / "t.csv", csv_text(rows_of()).encode("cp1254"))
    assert [study.report.findings for study in studies] == FINDINGS
    assert (note.code, note.severity, note.values["encoding"]) == ("text.encoding", "note", "cp1254")
    with pytest.raises(BadFileError, match=r"may be cp1252 .* or cp1250 .*save it as CSV UTF-8"):
        read(folder / "t.csv", csv_text(rows_of({"findings": "tr\u00e8s"}, *[{"findings": "x"}] * 2)).encode("cp1252"))


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_in_another_form_of_unicode_are_the_same(folder: Path, on_disk: Any, in_table: Any) -> None:
    name = "tarama/görüntü 1.nii.gz"
    write_volume(folder / unicodedata.normalize(on_disk, name))
    rows = rows_of({"volume": unicodedata.normalize(in_table, name)})
    studies, told = read(folder / "t.csv", csv_text(rows))
    source = ManifestSource(folder / "t.csv")
    assert (len(studies), told) == (3, [])
    assert studies[0].reconstructions == (unicodedata.normalize(in_table, name),)
    assert source.volume_file(studies[0].reconstructions[0]) == folder / unicodedata.normalize(on_disk, name)
    assert source.read_volume(studies[0].reconstructions[0]).voxels.ndim == 3


def test_suffixes_in_capitals_are_read_and_case_that_differs_is_told(folder: Path) -> None:
    (folder / "scans/v0.nii.gz").rename(folder / "scans/v0.NII.GZ")
    studies, told = read(folder / "T.CSV", csv_text(rows_of({"volume": "scans/v0.NII.GZ"})))
    assert ([study.study_id for study in studies], told) == (["scans/v0", "scans/v1", "scans/v2"], [])
    studies, (note,) = read(folder / "T.CSV", csv_text(rows_of({"volume": "Scans\\V0.nii.gz"})))
    assert (note.code, note.severity, note.values["path"]) == ("text.file_name", "note", "scans/v0.NII.GZ")
    source = ManifestSource(folder / "T.CSV")
    assert source.read_volume(studies[0].reconstructions[0]).voxels.ndim == 3


def test_one_file_under_two_spellings_has_two_rows(folder: Path) -> None:
    rows = [*rows_of(), rows_of()[0] | {"volume": "scans\\V0.nii.gz"}]
    studies, told = read(folder / "t.csv", csv_text(rows))
    assert len(studies) == 3
    assert codes(told) == ["text.file_name", "text.duplicate_row"]


@pytest.mark.parametrize("volume", ["C:\\scans\\v0.nii.gz", "\\\\server\\scans\\v0.nii.gz", "..\\v0.nii.gz"])
def test_paths_of_windows_that_lead_elsewhere_are_refused(folder: Path, volume: str) -> None:
    studies, (error,) = read(folder / "t.csv", csv_text(rows_of({"volume": volume})))
    assert (len(studies), error.code) == (2, "safety.outside")


def write_workbook(path: Path, rows: Rows) -> None:
    workbook = openpyxl.Workbook()
    for row in [list(rows[0]), *(list(row.values()) for row in rows)]:
        workbook.active.append(row)
    workbook.save(path)


def write_parquet(path: Path, rows: Rows) -> None:
    parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), path)


@pytest.mark.parametrize("write", [write_workbook, write_parquet])
def test_workbooks_and_parquet_are_tables_like_any_other(folder: Path, write: Any) -> None:
    path = folder / ("t.xlsx" if write is write_workbook else "t.parquet")
    ids: list[dict[str, object]] = [
        {"patient_id": 12345.0, "mass": True, "size": 3.5},
        {"patient_id": 12345.0, "mass": None, "size": 4.5},
        {"patient_id": None, "mass": False, "size": 0.0},
    ]
    write(path, rows_of(*ids))
    studies, (note,) = read(path)
    assert [study.patient_id for study in studies] == ["12345", "12345", "scans/v2"]
    assert [study.labels for study in studies] == [{"mass": 1}, {}, {"mass": 0}]
    assert [study.report.findings for study in studies] == FINDINGS
    assert (note.code, note.values["rows"]) == ("text.blank_id", 1)


def test_labels_of_a_table_in_many_spellings(folder: Path) -> None:
    rows = rows_of(
        {"mass": "ja", "nodule": "1,0", "effusion": "+", "grade": "0"},
        {"mass": "nein", "nodule": "?", "effusion": "-", "grade": "1"},
        {"mass": "vielleicht", "nodule": "0,0", "effusion": "", "grade": "2"},
    )
    studies, told = read(folder / "t.csv", csv_text(rows, ";"))
    assert [dict(study.labels) for study in studies] == [
        {"mass": 1, "nodule": 1, "effusion": 1},
        {"mass": 0, "effusion": 0},
        {"nodule": 0},
    ]
    assert codes(told) == ["text.label_cell", "text.label_column"]


def test_what_was_fine_before_keeps_its_names_and_texts(folder: Path) -> None:
    rows = rows_of(
        {"impression": " ", "study_id": " A-1", "patient_id": "P 1", "split": "Train"},
        {"impression": "None seen.", "study_id": "a-2", "patient_id": "P 1", "split": ""},
        {"impression": "\n", "study_id": "A-3", "patient_id": "0001", "split": "val"},
    )
    studies, told = read(folder / "t.csv", csv_text(rows))
    assert told == []
    assert [(study.study_id, study.patient_id, study.split) for study in studies] == [
        ("A-1", "P 1", "train"),
        ("a-2", "P 1", None),
        ("A-3", "0001", "validation"),
    ]
    assert [study.report.impression for study in studies] == [" ", "None seen.", "\n"]
