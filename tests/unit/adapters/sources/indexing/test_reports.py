"""Reports find their studies by a key; whatever does not is told, and counted."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from support.data_folders import write_table

from simcrop.adapters.sources.indexing.reports import Joined, ReportTable, check_reports, join_reports
from simcrop.adapters.sources.indexing.rows import TableRow
from simcrop.adapters.sources.indexing.volumes import LeftOut
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.core.data.problems import BadFileError, refuse
from simcrop.core.errors import ConfigError

STUDIES = (
    TableRow("a/1", "p1", "s1", accession_number="0007001", study_date="2021-03-04"),
    TableRow("a/2", "p1", "s1", accession_number="0007001", study_date="2021-03-04"),
    TableRow("b", "p1", "s2", accession_number="A2", study_date="2021-03-04"),
    TableRow("c", "p2", "s3", accession_number="A3", study_date="2021-03-05"),
    TableRow("d", "p3", "s4", study_date="2021-03-06"),
)


@pytest.fixture
def work(tmp_path: Path) -> Iterator[WorkFile]:
    with WorkFile(tmp_path / "work", "") as known:
        for place, row in enumerate(STUDIES):
            known.add_volume(place, row)
        yield known


def joined(
    work: WorkFile, rows: Sequence[Mapping[str, object]], on: str, texts: Sequence[str] = ("findings", "impression")
) -> tuple[Joined, dict[str, str], list[LeftOut]]:
    """The sums, study -> findings, and what is left out."""
    path = work.path.with_name("reports.csv")
    write_table(path, rows)
    left_out: list[LeftOut] = []
    found = join_reports(work, ReportTable(path, on, texts), left_out.append, refuse)
    given = {row.study_id: texts[0] for row, _, texts in work.volumes() if texts is not None}
    return found, given, left_out


def report(key: object, findings: str = "Clear.", column: str = "Accession Number") -> dict[str, object]:
    return {column: key, "Findings": findings, "Impression": "Normal."}


def test_reports_are_joined_by_accession_number_with_zeros_that_were_dropped(work: WorkFile) -> None:
    rows = [report("7001", "First."), report(" a2 ", "Second."), report("A9"), report("nan"), report("A3", " - ")]
    rows[4]["Impression"] = ""
    found, given, left_out = joined(work, rows, "accession_number")
    assert given == {"s1": "First.", "s2": "Second."}
    assert found == Joined(reports=5, used=2, repeated=0, studies=4)
    assert [(each.kind, each.name, each.reason) for each in left_out] == [
        ("report", "line 4: A9", "a report of which no study is in the folder"),
        ("report", "line 5: nan", "a report without Accession Number"),
        ("report", "line 6: A3", "a report without text"),
        ("study", "s3", "a study without a report"),
        ("study", "s4", "a study without a report"),
    ]


def test_the_columns_of_the_reports_may_stand_below_a_title(work: WorkFile, tmp_path: Path) -> None:
    path = tmp_path / "ris.csv"
    path.write_text("Export of 1.2.2024;;\n;;\nAccNo;Befund;Beurteilung\nA2;Second.;\n", encoding="utf-8")
    table = ReportTable(path, "accession_number", ("befund", "Beurteilung"))
    check_reports(table)
    assert join_reports(work, table, lambda one: None, refuse).used == 1
    assert [texts for row, _, texts in work.volumes() if row.study_id == "s2"] == [("Second.", "")]


def test_a_report_that_fits_several_studies_is_given_to_none(work: WorkFile) -> None:
    rows = [{"patient": "p1", "date": "4.3.2021", **report("")}, {"patient": "P2", "date": "20210305", **report("")}]
    found, given, left_out = joined(work, rows, "patient_id,study_date")
    assert given == {"s3": "Clear."}
    assert (found.reports, found.used) == (2, 1)
    assert left_out[0] == LeftOut("report", "line 2: p1, 4.3.2021", "a report that fits several studies", "2: s1, s2")


def test_of_several_reports_of_a_study_equal_ones_are_one_and_others_none(work: WorkFile) -> None:
    rows = [report("A2", "One."), report("A3", "Same."), report("A2", "Another."), report("A3", "Same.")]
    found, given, left_out = joined(work, rows, "accession_number")
    assert given == {"s3": "Same."}
    assert found == Joined(reports=4, used=1, repeated=1, studies=4)
    assert LeftOut("study", "s2", "a study with several different reports", "2, on lines 2, 4") in left_out
    assert LeftOut("report", "line 2: A2", "one of several different reports of a study", "s2") in left_out
    lost = sum(each.kind == "report" for each in left_out)
    assert found.reports == found.used + found.repeated + lost


def test_texts_of_other_names_and_findings_alone(work: WorkFile) -> None:
    rows = [{"study_id": "S3", "Befund": "Frei.", "Beurteilung": "Ohne Befund."}]
    assert joined(work, rows, "study_id", ["befund", "Beurteilung"])[1] == {"s3": "Frei."}


def test_findings_alone_are_a_report(work: WorkFile) -> None:
    assert joined(work, [{"study_id": "s3", "text": "Clear."}], "study_id", ["text"])[1] == {"s3": "Clear."}
    assert next(texts for row, _, texts in work.volumes() if row.study_id == "s3") == ("Clear.", "")


def test_a_column_of_texts_that_is_not_there_is_named(work: WorkFile) -> None:
    with pytest.raises(ConfigError, match=r"no column 'impression' .*columns are id, findings; .*--text-columns"):
        joined(work, [{"id": 1, "findings": ""}], "study_id=id")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_columns_are_known_whatever_parts_them(work: WorkFile, delimiter: str) -> None:
    path = work.path.with_name("reports.csv")
    lines = ("Accession No_Befund, frei_findings_impression", "A2_x_Clear._")
    path.write_text("\n".join(line.replace("_", delimiter) for line in lines), encoding="utf-16")
    table = ReportTable(path, "accession_number")
    check_reports(table)
    assert join_reports(work, table, lambda left_out: None, lambda problem: None).used == 1


def test_a_table_that_cannot_be_read_is_told(work: WorkFile) -> None:
    with pytest.raises(BadFileError, match=r"none\.csv: does not exist"):
        join_reports(work, ReportTable(work.path.with_name("none.csv"), "study_id"), print, refuse)
