"""The patients whose labels are learned from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.label_split import draw_labelled

PATIENTS = [f"p{number // 2}" for number in range(400)]


def names(indices: tuple[int, ...]) -> set[str]:
    return {PATIENTS[index] for index in indices}


@given(st.sampled_from([1, 2, 5, 7, 10, 33.3, 50]), st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 3))
def test_a_smaller_share_is_part_of_a_larger_one_and_no_patient_has_two_roles(
    percent: float, fraction: float, seed: int
) -> None:
    small = draw_labelled(PATIENTS, percent=percent, selection_fraction=fraction, seed=seed)
    large = draw_labelled(PATIENTS, percent=2 * percent, selection_fraction=fraction, seed=seed)
    assert not names(small.learn) & names(small.select)
    assert names(small.both) < names(large.both)
    assert len(small.both) == 2 * len(names(small.both)), "all studies of a drawn patient are drawn"
    if len(names(small.both)) * fraction >= 1:
        assert names(small.learn) <= names(large.learn)
        assert names(small.select) <= names(large.select)


def test_shares_are_of_patients_and_rounded() -> None:
    split = draw_labelled(PATIENTS, percent=10, selection_fraction=0.2, seed=0)
    assert (len(names(split.learn)), len(names(split.select))) == (16, 4)
    assert split.learn == tuple(sorted(split.learn))
    everything = draw_labelled(PATIENTS, percent=100, selection_fraction=None, seed=0)
    assert everything.learn == tuple(range(400))
    assert everything.select == ()


def test_the_draw_depends_on_the_seed_and_not_on_the_order_of_the_studies() -> None:
    first = draw_labelled(PATIENTS, percent=10, selection_fraction=0.2, seed=0)
    backwards = draw_labelled(PATIENTS[::-1], percent=10, selection_fraction=0.2, seed=0)
    assert {PATIENTS[::-1][index] for index in backwards.select} == names(first.select)
    assert names(draw_labelled(PATIENTS, percent=10, selection_fraction=0.2, seed=1).both) != names(first.both)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_two_patients_take_one_role_each(fraction: float) -> None:
    split = draw_labelled(["a", "b"], percent=100, selection_fraction=fraction, seed=0)
    assert (len(split.learn), len(split.select)) == (1, 1)


def test_too_few_patients_are_refused_with_a_share_that_would_do() -> None:
    with pytest.raises(ConfigError) as error:
        draw_labelled(PATIENTS, percent=0.5, selection_fraction=0.2, seed=0)
    assert str(error.value) == (
        "labels.percent: 0.5 % of 200 patients outside the test set are 1, which leaves not even one to learn from and "
        "one to choose settings by; write at least 0.75"
    )
    assert len(draw_labelled(PATIENTS, percent=0.75, selection_fraction=0.2, seed=0).both) == 4
    with pytest.raises(ConfigError, match=r"200 patients outside the test set are 0, which .*; write at least 0.25"):
        draw_labelled(PATIENTS, percent=0.1, selection_fraction=None, seed=0)
    with pytest.raises(ConfigError, match=r"lower data\.validation_fraction or name more data"):
        draw_labelled(["a"], percent=100, selection_fraction=0.2, seed=0)
