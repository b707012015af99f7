"""Words, codes and numbers of a row."""

from pathlib import Path

import pytest

from simcrop.adapters.sources.indexing.rows import COLUMNS, TableRow, numbers_as_text, verdict_of
from simcrop.core.data.best_series import SeriesFacts
from simcrop.core.data.problems import problem

OWN = Path("a")
BAD = problem("a/IM1", "container.truncated", "is cut off")
NOTE = problem("a", "content.field_of_view", "covers little")


def test_a_verdict_names_other_files_and_says_errors_first() -> None:
    assert verdict_of(OWN, [], []) == ("good", "", True)
    assert verdict_of(OWN, [NOTE], ["is odd"]) == ("covers little; is odd", "content.field_of_view", True)
    words, codes, is_usable = verdict_of(OWN, [NOTE, BAD, BAD], [])
    assert words == "IM1 is cut off; IM1 is cut off; covers little"
    assert codes == "container.truncated content.field_of_view"
    assert not is_usable


@pytest.mark.parametrize(("numbers", "text"), [((), ""), ((0.70312, 1, 2.5), "0.703 x 1 x 2.5"), ((10.0,), "10")])
def test_numbers_are_written_without_zeros_behind(numbers: tuple[float, ...], text: str) -> None:
    assert numbers_as_text(numbers) == text


@pytest.mark.parametrize(("plane", "is_axial"), [("axial", True), ("", True), ("coronal", False), ("oblique", False)])
def test_a_row_says_what_the_rule_needs(plane: str, is_axial: bool) -> None:
    row = TableRow("a", "p", "s", orientation=plane, num_slices=9, kernel_kind="lung", other_part="Kopf")
    assert row.facts == SeriesFacts(is_axial=is_axial, is_other_part=True, kernel="lung", num_slices=9)


def test_columns_are_those_that_a_manifest_needs_and_each_comes_once() -> None:
    assert COLUMNS[:3] == ("volume", "findings", "impression")
    assert len({*COLUMNS}) == len(COLUMNS)
    assert {*COLUMNS} - {*TableRow.__dataclass_fields__} == {"findings", "impression", "best"}
