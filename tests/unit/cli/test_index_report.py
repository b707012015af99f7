"""The last lines of `simcrop data index`: every file and every report is accounted for."""

from collections import Counter
from pathlib import Path

import pytest

from simcrop.adapters.sources.indexing.outputs import Counts, Places
from simcrop.adapters.sources.indexing.reports import Joined
from simcrop.compose.indexing import Indexed
from simcrop_cli.index_report import summary_lines

PLACES = Places(Path("/x/t.csv"), Path("/x/scans"))
REASONS = Counter({("file", "a localizer"): 20, ("file", "a dose report"): 1_000, ("volume", "not the best"): 300})
FOUND = Indexed(
    places=PLACES,
    files=2_000,
    volumes=20,
    studies=1,
    best=1,
    written=Counts(1, 680),
    left_out=Counts(1_030, 1_320, REASONS),
    joined=None,
    has_configuration=True,
)


def lines(**changes: object) -> list[str]:
    return list(summary_lines(Indexed(**{**vars(FOUND), **changes})))


def test_files_are_a_sum_of_volumes_and_reasons_the_commonest_first() -> None:
    assert lines() == [
        "20 volumes of 1 study, 1 of which have a best series",
        "files: 2,000 = 980 in volumes + 1,020 left out: 1,000 a dose report, 20 a localizer",
        "files in volumes that are not in the table: 300 not the best",
        "/x/t.left_out.csv: names all that is left out, with the reason",
        "/x/t.csv: 1 volume; it holds identifiers of patients",
        "next: simcrop data check /x/t.yaml",
    ]


def test_many_reasons_are_cut_and_nothing_left_out_is_not_spoken_of() -> None:
    many = Counter({("file", f"reason {number:02}"): 1 for number in range(11)})
    assert lines(left_out=Counts(11, 11, many))[1].endswith("1 reason 07, 3 others")
    assert len(lines(left_out=Counts())) == 4


def test_reports_and_studies_are_sums_too() -> None:
    reasons = Counter({("report", "no study"): 3, ("study", "no report"): 2, ("folder", "locked"): 1})
    told = lines(joined=Joined(10, 5, 2, 7), left_out=Counts(6, 0, reasons), has_configuration=False)
    assert told[2:5] == [
        "1 folder not looked into, whose files are not counted: 1 locked",
        "reports: 10 = 5 joined + 2 repeated + 3 left out: 3 no study",
        "studies: 7 = 5 with a report + 2 without: 2 no report",
    ]
    assert told[-1] == "next: simcrop data check /x/t.yaml (it was there, and was left as it is)"


@pytest.mark.parametrize("number", [0, 1, 2])
def test_one_volume_is_one(number: int) -> None:
    assert lines(volumes=number)[0].startswith(f"{number} volume{'' if number == 1 else 's'} of")
