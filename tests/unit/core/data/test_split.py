"""Studies that are left out, and those that are held out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.data.problems import Problem, problem
from simcrop.core.data.split import Refusals, nothing_held_out, split_by_patient
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError


def make_study(number: int, patient: int, split: str | None = None) -> Study:
    return Study(f"s{number}", f"p{patient}", Report("", ""), (f"v{number}",), split)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.floats(0, 0.45))
def test_patients_without_a_split_are_divided_whole(patients: list[int], fraction: float) -> None:
    studies = [make_study(number, patient) for number, patient in enumerate(patients)]
    train, held_out = split_by_patient(studies, fraction)
    assert sorted(study.study_id for study in train + held_out) == sorted(study.study_id for study in studies)
    held = {study.patient_id for study in held_out}
    assert len(held) == round(fraction * len(set(patients)))
    assert not held & {study.patient_id for study in train}
    assert split_by_patient(studies[::-1], fraction)[1] == held_out[::-1]


@given(st.lists(st.integers(0, 20), min_size=1, max_size=60), st.floats(0, 0.45), st.randoms(use_true_random=False))
def test_nobody_changes_sides_when_others_cannot_be_used(
    patients: list[int], fraction: float, random: random.Random
) -> None:
    listed = [make_study(number, patient) for number, patient in enumerate(patients)]
    usable = [study for study in listed if random.random() < 0.7]
    for all_of_part, part in zip(
        split_by_patient(listed, fraction), split_by_patient(usable, fraction, listed=listed), strict=True
    ):
        assert part == [study for study in all_of_part if study in usable]


def test_the_sources_split_is_kept() -> None:
    studies = [make_study(0, 0, "validation"), make_study(1, 1, "train"), make_study(2, 2, "validation")]
    train, held_out = split_by_patient(studies, 0.0)
    assert [study.study_id for study in train] == ["s1"]
    assert [study.study_id for study in held_out] == ["s0", "s2"]


def test_a_patient_in_both_splits_is_refused() -> None:
    studies = [make_study(0, 7, "validation"), make_study(1, 7, "train"), make_study(2, 1, "train")]
    with pytest.raises(DataError, match=r"patient p7: .*correct the column split"):
        split_by_patient(studies, 0.2)


FINDINGS = "The trachea is open. There is no nodule in either lung."


def study(number: int, findings: str = FINDINGS, volumes: int = 1) -> Study:
    names = tuple(f"v{number}_{index}" for index in range(volumes))
    return Study(f"s{number}", f"p{number}", Report(findings, ""), names)


def bad(*names: str) -> dict[str, Problem]:
    return {name: problem(name, "container.empty", "is empty") for name in names}


def refusals(studies: list[Study], known: dict[str, Problem] | None = None, *, share: float = 1.0) -> Refusals:
    return Refusals(studies, known or {}, max_bad_share=share)


def left(refused: Refusals) -> dict[str, tuple[str, ...]]:
    return {each.study_id: each.reconstructions for each in refused.usable()}


def test_a_study_keeps_its_other_volumes_and_goes_with_its_last() -> None:
    refused = refusals([study(0, volumes=2), study(1), study(2)], bad("v0_1"))
    assert left(refused) == {"s0": ("v0_0",), "s1": ("v1_0",), "s2": ("v2_0",)}
    refused.add(bad("v2_0"))
    assert left(refused) == {"s0": ("v0_0",), "s1": ("v1_0",)}


def test_a_study_that_is_usable_as_a_whole_is_itself_and_no_copy() -> None:
    studies = [study(0), study(1, volumes=2)]
    [first, second] = refusals(studies, bad("v1_0")).usable()
    assert first is studies[0]
    assert second is not studies[1]


def test_what_is_known_of_volumes_of_other_data_does_not_count() -> None:
    refused = refusals([study(0)], bad("elsewhere"), share=0.0)
    assert left(refused) == {"s0": ("v0_0",)}
    assert refused.summary() is None


def test_more_than_the_allowed_share_stops_with_the_first_and_a_remedy() -> None:
    studies = [study(number) for number in range(4)]
    assert len(refusals(studies, bad("v1_0"), share=0.25).usable()) == 3
    message = r"^v1_0: is empty.* \(2 of 4 volumes cannot be used\); simcrop data check .*raise data\.max_bad_share$"
    with pytest.raises(DataError, match=message):
        refusals(studies, bad("v2_0", "v1_0"), share=0.25).usable()
    with pytest.raises(DataError, match=r"^v1_0: is empty[^(]*; simcrop data check"):
        refusals(studies, bad("v1_0"), share=0.0).usable()


def test_studies_that_cannot_be_learned_from_are_refused_with_all_their_volumes() -> None:
    refused = refusals([study(0), study(1, "Not given.", volumes=2)])
    refused.add_unreported()
    assert list(left(refused)) == ["s0"]
    summary = refused.summary()
    assert summary is not None
    assert summary.startswith("2 of 3 volumes cannot be used and are left out, among them v1_0: has neither findings")


def test_data_without_any_report_are_refused_as_a_whole() -> None:
    with pytest.raises(DataError, match=r"^data\.source: the data set has no reports.*set their weights to 0"):
        refusals([study(0, ""), study(1, " ")]).add_unreported()


def test_a_patient_stays_on_its_side_whatever_is_refused() -> None:
    studies = [study(number) for number in range(8)]
    train, held_out = refusals(studies).divided(0.25)
    assert (len(train), len(held_out)) == (6, 2)
    refused = refusals(studies, bad(held_out[0].reconstructions[0]))
    assert refused.divided(0.25) == (train, held_out[1:])


@pytest.mark.parametrize(
    ("patients", "split", "fraction", "cause"),
    [
        ([7, 7, 7], None, 0.2, "all are of one patient, 'p7'"),
        ([1, 2], None, 0.2, "data.validation_fraction=0.2 of 2 patients is none"),
        ([1, 2, 3], None, 0.0, "data.validation_fraction=0 of 3 patients is none"),
        ([1, 2, 3], "train", 0.5, "the data put all of them into the split train"),
        ([1, 2, 3, 4], None, 0.5, "what was to be held out cannot be used"),
    ],
)
def test_why_nothing_is_held_out(patients: list[int], split: str | None, fraction: float, cause: str) -> None:
    studies = [make_study(number, patient, split) for number, patient in enumerate(patients)]
    words = nothing_held_out(studies, fraction)
    assert words.startswith(f"no study is held out of {len(studies)}, so that nothing will tell")
    assert words.endswith(cause)
