"""The authors' numbers."""

import pytest

from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.published import (
    CC_CCII,
    CT_RATE,
    LUNA16,
    RADCHESTCT,
    UNPUBLISHED,
    PublishedProbe,
    authors_row,
    counting_note,
    published_recipe,
)


def test_the_table_is_that_of_the_method() -> None:
    assert published_recipe(CT_RATE, "ct_rate", 1) == (authors_row(1000, 1.5e-3, 150, 32, 10), None)
    assert published_recipe(CT_RATE, "ct_rate", 10)[0] == published_recipe(CT_RATE, "ct_rate", 100)[0]
    assert published_recipe(RADCHESTCT, "radchestct", 100) == (authors_row(2000, 3e-3, 200, 128, 10), None)
    assert published_recipe(CC_CCII, "cc_ccii", 1) == (authors_row(200, 1.5e-3, 20, 29, 20), None)
    assert published_recipe(LUNA16, "luna16", 10) == (authors_row(200, 1.5e-3, 20, 31, 200), None)
    assert published_recipe(LUNA16, "luna16", 100) == (authors_row(2000, 1.5e-3, 200, 32, 20), None)
    assert all(
        row.warmup < row.steps for each in (CT_RATE, RADCHESTCT, CC_CCII, LUNA16) for row in each.recipes.values()
    )


@pytest.mark.parametrize(
    ("published", "source", "percent", "taken"),
    [
        (LUNA16, "luna16", 1, (LUNA16, 10)),
        (CT_RATE, "ct_rate", 7, (CT_RATE, 10)),
        (UNPUBLISHED, "manifest", 100, (CT_RATE, 100)),
    ],
)
def test_where_the_authors_have_none_the_next_is_taken_and_that_is_said(
    published: PublishedProbe, source: str, percent: float, taken: tuple[PublishedProbe, int]
) -> None:
    recipe, note = published_recipe(published, source, percent)
    assert recipe == taken[0].recipes[taken[1]]
    assert note is not None
    assert note.endswith(f"for {source} at {percent} %: those of {taken[0].name} at {taken[1]} % are taken")


def _study(number: int, patient: int, num_volumes: int = 1) -> Study:
    return Study(f"s{number}", f"p{patient}", Report("", ""), tuple(f"s{number}_{i}" for i in range(num_volumes)))


def test_volumes_that_are_counted_otherwise_are_said() -> None:
    studies = [_study(0, 0, 2), _study(1, 0), _study(2, 1, 3)]
    note = counting_note(CT_RATE, studies, [_study(3, 2, 2)])
    assert note == (
        "the authors' lists and their percentages count volumes (46363 to learn from, 3009 to test on); here the first "
        "reconstruction of each study alone is read (4 of 8 volumes), and labels.percent is of the 2 patients outside "
        "the test set"
    )
    assert "volumes; here" in str(counting_note(UNPUBLISHED, studies, []))
    assert "volumes (2899 to learn from, 1243 to test on); here" in str(counting_note(CC_CCII, studies[1:2] * 2, []))
    assert counting_note(RADCHESTCT, [_study(0, 0), _study(1, 1)], [_study(2, 2)]) is None
