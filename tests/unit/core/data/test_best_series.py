"""The best series of a study, criterion by criterion."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.data.best_series import Preference, SeriesFacts, best_of

THIN = SeriesFacts(kernel="lung", thickness_mm=1.0, num_slices=300)
SOFT = SeriesFacts(kernel="soft", thickness_mm=3.0, num_slices=100)
ANY = Preference()


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (THIN, SOFT),
        (replace(SOFT, thickness_mm=1.04), THIN),
        (THIN, replace(THIN, kernel="")),
        (THIN, replace(THIN, num_slices=299)),
        (THIN, replace(THIN, thickness_mm=None)),
        (SOFT, replace(THIN, is_axial=False)),
        (SOFT, replace(THIN, is_derived=True)),
        (SOFT, replace(THIN, is_other_part=True)),
        (SOFT, replace(THIN, is_usable=False)),
        (replace(SOFT, is_other_part=True), replace(THIN, is_derived=True)),
        (replace(SOFT, is_derived=True), replace(THIN, is_axial=False)),
    ],
)
def test_each_criterion_decides_in_either_order(better: SeriesFacts, worse: SeriesFacts) -> None:
    assert best_of([better, worse], ANY) == 0
    assert best_of([worse, better], ANY) == 1


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        (Preference(kernel="soft"), 1),
        (Preference(kernel="lung"), 0),
        (Preference(contrast="with"), 1),
        (Preference(contrast="without"), 0),
        (Preference(max_thickness_mm=0.9), None),
        (Preference(kernel="soft", max_thickness_mm=2.0), 0),
    ],
)
def test_what_is_asked_for_decides(wanted: Preference, place: int | None) -> None:
    assert best_of([THIN, replace(SOFT, has_contrast=True)], wanted) == place


def test_of_equal_series_the_first_is_taken_and_of_none_none() -> None:
    assert best_of([SOFT, THIN, THIN], ANY) == 1
    assert best_of([], ANY) is None
    assert best_of([replace(THIN, thickness_mm=None)], Preference(max_thickness_mm=5)) is None


FACTS = st.builds(
    SeriesFacts,
    is_usable=st.booleans(),
    is_axial=st.booleans(),
    kernel=st.sampled_from(["soft", "lung", ""]),
    thickness_mm=st.none() | st.floats(0.1, 10),
    num_slices=st.integers(0, 900),
)


@given(st.lists(FACTS, max_size=6), FACTS)
def test_a_further_series_is_taken_or_changes_nothing(series: list[SeriesFacts], more: SeriesFacts) -> None:
    assert best_of([*series, more], ANY) in {best_of(series, ANY), len(series)}
