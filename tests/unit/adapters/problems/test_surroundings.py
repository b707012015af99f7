"""One value around the patient: told from air, padding, noise and tissue that happens to have it."""

import numpy as np
import pytest

from simcrop.adapters.problems.surroundings import Surroundings


def surroundings(*chunks: list[int], padding: tuple[float, ...] = ()) -> Surroundings:
    found = Surroundings(lambda stored: stored.astype(float) - 1024, padding)
    for chunk in chunks:
        found.add(np.array(chunk, np.int16))
    return found


def test_the_first_value_that_is_no_padding_is_counted_over_all_chunks() -> None:
    found = surroundings([-1000, *[1024] * 8], [*[1024] * 4, 1064, 1100])
    assert found.background == (0.0, 12 / 15)
    (note,) = found.problems("a.nii")
    assert note.message == "has 0 HU in 80% of its voxels, around the patient, where scans have air (-1000)"


@pytest.mark.parametrize(
    "voxels",
    [
        [24, 24, 24, 24, 1064, 1070, 1080, 1090],  # air
        [1024, 1064, 1024, 1070, 1024, 1080, 1024, 1090],  # as often, but never beside another
        [1024, *range(1060, 1120)],  # too few
    ],
)
def test_what_is_air_or_scattered_or_rare_is_no_background(voxels: list[int]) -> None:
    assert surroundings(voxels).background is None


def test_declared_padding_is_passed_over() -> None:
    voxels = [500, 500, 500, 500, 1024, 1024, 1024, 1024, 1024]
    assert surroundings(voxels, padding=(-524.0,)).background == (0.0, 5 / 9)
    assert surroundings(voxels).background == (-524.0, 4 / 9)
