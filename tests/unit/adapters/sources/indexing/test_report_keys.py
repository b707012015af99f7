"""Columns of two tables that mean the same, and cells that do."""

import pytest

from simcrop.adapters.sources.indexing.report_keys import IndexColumn, ReportKeys, columns_to_compare, is_day_first
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.core.errors import ConfigError

HEAD = ("Accession No", "Pat-ID", "Exam Date", "Befund")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("accession_number", {"Accession No": "accession_number"}),
        ("Accession No", {"Accession No": "accession_number"}),
        ("accessionno", {"Accession No": "accession_number"}),
        ("study_id=Befund", {"Befund": "study_id"}),
        ("StudyInstanceUID = Pat-ID", {"Pat-ID": "study_id"}),
        ("patient_id,study_date", {"Pat-ID": "patient_id", "Exam Date": "study_date"}),
        ("patient_id + study_date", {"Pat-ID": "patient_id", "Exam Date": "study_date"}),
    ],
)
def test_columns_are_found_by_their_names_in_either_table(wanted: str, found: dict[str, str]) -> None:
    assert columns_to_compare(wanted, HEAD) == found


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("Befund", r"--on Befund: 'Befund' is no column by which studies are known; .*accession_number=THEIRS"),
        ("study_id", r"have no column for 'study_id'; their columns are Accession No, Pat-ID"),
        ("accession_number=Nr", r"have no column for 'Nr'"),
        ("", "is no column"),
    ],
)
def test_a_column_that_is_not_there_is_named(wanted: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        columns_to_compare(wanted, HEAD)


def test_of_two_columns_that_may_be_meant_one_must_be_named() -> None:
    with pytest.raises(ConfigError, match="several columns for 'accession_number'"):
        columns_to_compare("accession_number", ("AccNo", "Accession"))
    assert columns_to_compare("AccNo", ("AccNo", "Accession")) == {"AccNo": "accession_number"}


@pytest.mark.parametrize(
    ("column", "theirs", "ours", "is_exact", "is_short"),
    [
        ("accession_number", " a12 ", "A12", True, True),
        ("accession_number", "0012", "12", False, True),
        ("accession_number", "12.0", "12", True, True),
        ("accession_number", "13", "12", False, False),
        ("study_date", "2021-03-04 10:22", "2021-03-04", True, True),
        ("study_date", "20210304", "2021-03-04", True, True),
        ("study_date", "4.3.2021", "2021-03-04", True, True),
        ("study_date", "04/03/2021", "2021-03-04", True, True),
        ("study_date", "2021-03-05", "2021-03-04", False, False),
    ],
)
def test_cells_of_both_tables_are_compared(
    column: IndexColumn, theirs: str, ours: str, is_exact: bool, is_short: bool
) -> None:
    keys = ReportKeys({"x": column})
    report, study = keys.of_report({"x": theirs}), keys.of_study(TableRow("v", "p", "s", **{column: ours}))
    assert report is not None
    assert study is not None
    assert (report.exact == study.exact, report.short == study.short) == (is_exact, is_short)


@pytest.mark.parametrize("cell", ["", " ", "nan", "-"])
def test_a_key_with_a_blank_part_is_none(cell: str) -> None:
    keys = ReportKeys({"a": "patient_id", "b": "study_date"})
    assert keys.of_report({"a": "p1", "b": cell}) is None
    assert keys.of_study(TableRow("v", "p1", "s", study_date=cell)) is None


@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        (["3/4/2021", "13/4/2021"], True),
        (["3/4/2021", "4/13/2021"], False),
        (["3.4.2021"], True),
        (["2021-03-04", "nan", "4/4/2021"], True),
        ([], True),
    ],
)
def test_a_column_of_dates_tells_whether_the_day_comes_first(dates: list[str], expected: bool) -> None:
    assert is_day_first(dates) is expected


def test_dates_that_may_be_either_are_refused() -> None:
    with pytest.raises(ConfigError, match="'3/4/2021' may have the day or the month first; write YYYY-MM-DD"):
        is_day_first(["3/4/2021", "5/6/2021"])
    assert ReportKeys({"d": "study_date"}, day_first=False).of_report({"d": "3/4/2021"}) == ReportKeys(
        {"d": "study_date"}
    ).of_report({"d": "2021-03-04"})
