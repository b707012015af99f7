"""The studies that retrieval searches among, and the answers that are right, by hand."""

import pytest

from simcrop.compose.evaluation.retrieval_studies import left_out, right_answers, searched
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.settings import RetrievalSettings

FINDINGS = ("The heart is large.", "A nodule.", "the heart is large.", " The heart is large. ", "", "", "A nodule.")


def studies() -> list[Study]:
    return [Study(f"s{n}", f"p{n}", Report(text, ""), (f"v{n}",)) for n, text in enumerate(FINDINGS)]


@pytest.mark.parametrize("settings", [RetrievalSettings(protocol="published"), RetrievalSettings(distinct=True)])
def test_of_findings_that_repeat_word_for_word_the_first_stays(settings: RetrievalSettings) -> None:
    found = searched(studies(), settings)
    assert [study.study_id for study in found.studies] == ["s0", "s1", "s2", "s4", "s5"]
    assert found.num_repeats == 2
    [note] = found.notes
    assert note.startswith(
        "2 of 7 held-out studies repeat the findings of another one word for word and were left out;"
    )
    assert note.endswith("the first in the order of the data stays")


def test_it_is_said_where_none_repeats() -> None:
    found = searched(studies()[:3], RetrievalSettings(distinct=True))
    assert (len(found.studies), found.num_repeats, found.notes) == (
        3,
        0,
        ("no study repeats the findings of another one",),
    )


@pytest.mark.parametrize("settings", [RetrievalSettings(), RetrievalSettings(protocol="published", distinct=False)])
def test_else_all_stay(settings: RetrievalSettings) -> None:
    found = searched(studies(), settings)
    assert ([*found.studies], found.num_repeats, found.notes) == (studies(), 0, ())


def test_the_same_sentences_in_another_order_are_right_for_each_other_by_the_honest_protocol_alone() -> None:
    keys = [[1, 2], [2, 1], [3]]
    assert right_answers(keys, RetrievalSettings()).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    published = right_answers(keys, RetrievalSettings(protocol="published"))
    assert published.int().tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_it_takes_two_studies_with_findings() -> None:
    assert left_out(5, 5) == ()
    assert left_out(2, 5) == ("3 studies without findings were left out",)
    with pytest.raises(DataError, match=r"^data: 1 of 5 held-out studies have findings to search by, and it takes two"):
        left_out(1, 5)
