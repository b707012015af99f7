"""Draws of sides, places and sizes."""

import numpy as np
import pytest

from simcrop.adapters.sources.phantom.anatomy import LOBES, in_lobe, sample_anatomy
from simcrop.adapters.sources.phantom.sites import LOBE_NAMES, draw_size, sided
from simcrop.adapters.sources.phantom.sites import in_lobe as lesion_in_lobe


@pytest.mark.parametrize(
    ("weights", "place"),
    [((1, 0, 0), "the right lower lobe"), ((0, 0, 1), "both lower lobes")],
)
def test_words_agree_with_the_side(weights: tuple[float, float, float], place: str) -> None:
    made = sided("Finding", "kind", np.random.default_rng(0), "lower", 40.0, weights=weights)
    assert made.place == place
    assert made.side == ("both" if weights[2] else "right")


def test_sizes_have_their_median_and_stay_within_their_ends() -> None:
    generator = np.random.default_rng(0)
    sizes = [draw_size(generator, 11, 0.5, 5, 40) for _ in range(2000)]
    assert np.median(sizes) == pytest.approx(11, rel=0.05)
    assert (min(sizes), max(sizes)) == (5, 40)


def test_a_lesion_lies_in_the_lobe_that_its_words_name() -> None:
    generator = np.random.default_rng(0)
    anatomy = sample_anatomy(generator, 7)
    for lobe in LOBES:
        made = lesion_in_lobe("Lung nodule", "solid", anatomy, generator, 8.0, 40.0, lobes=(lobe,))
        assert (made.site, made.side) == (lobe, lobe.partition("_")[0])
        assert made.place in LOBE_NAMES[lobe]
        assert (made.center[0] > 0) == (made.side == "right")
        _, y, z = (np.array([value]) for value in made.center)
        assert float(in_lobe(anatomy, lobe, y, z)[0]) > 0.5
