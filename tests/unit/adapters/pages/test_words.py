"""A place is named by the patient's sides, whatever way the scan's axes lie."""

import numpy as np
import pytest

from simcrop.adapters.pages.words import distance_mm, place_in_mm, place_in_words

SHAPE = (60, 50, 40)
CENTRE = np.array([10.0, -200.0, 900.0])


def affine(axes: np.ndarray) -> np.ndarray:
    out = np.eye(4)
    out[:3, :3] = axes @ np.diag([5.0, 4.0, 3.0])
    out[:3, 3] = CENTRE - out[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return out


RAS, LPS = np.eye(3), np.diag([-1.0, -1.0, 1.0])
SAL = np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize("axes", [RAS, LPS])
@pytest.mark.parametrize(
    ("from_centre", "words"),
    [
        ((0, 0, 0), "midline, central, middle third"),
        ((14.9, 90, 50), "midline, anterior, upper third"),
        ((15.1, -90, -50), "right, posterior, lower third"),
        ((-60, 30, 19), "left, central, middle third"),
        ((-900, 900, 900), "left, anterior, upper third"),
    ],
)
def test_a_place_in_words(axes: np.ndarray, from_centre: tuple[float, float, float], words: str) -> None:
    x, y, z = CENTRE + from_centre
    assert place_in_words((x, y, z), SHAPE, affine(axes)) == words


def test_axes_in_another_order_change_which_third_it_is() -> None:
    # Along the patient's height this scan has 60 voxels of 5 mm: 50 mm is the edge of the middle third.
    x, y, z = CENTRE + np.array([0, 0, 49])
    assert place_in_words((x, y, z), SHAPE, affine(SAL)) == "midline, central, middle third"
    assert place_in_words((x, y, z + 2), SHAPE, affine(SAL)) == "midline, central, upper third"


def test_a_place_in_mm() -> None:
    assert place_in_mm((1.04, -20.0, 300.96)) == "x 1.0, y -20.0, z 301.0 mm"


def test_the_distance_from_a_mask() -> None:
    inside = np.zeros(SHAPE, bool)
    inside[30, 20, 10] = True
    x, y, z = (float(value) for value in affine(LPS)[:3] @ (30, 20, 10, 1))
    assert distance_mm((x, y, z), inside, affine(LPS)) == 0
    assert distance_mm((x + 2.4, y, z), inside, affine(LPS)) == 0
    assert distance_mm((x, y + 12, z - 9), inside, affine(LPS)) == pytest.approx(15)
    assert distance_mm((x + 9000, y, z), inside, affine(LPS)) == pytest.approx(9000)
    assert distance_mm((x, y, z), np.zeros(SHAPE, bool), affine(LPS)) == float("inf")
