"""Which studies are held out."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.data.split import split_by_patient
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
