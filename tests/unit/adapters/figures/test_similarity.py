"""Maps of sentences: crosses, outlines and slices lie where they should."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from simcrop.adapters.figures.ct import oriented
from simcrop.adapters.figures.similarity import SentenceMap, similarity_figure

SHAPE = (12, 10, 6)


SPACING = (2.0, 3.0, 5.0)


def texts(figure: Figure) -> str:
    """Every text of a figure in one string."""
    return "\n".join(artist.get_text() for artist in figure.findobj(Text))


def panels(figure: Figure) -> list[Axes]:
    """The axes that show a slice, in order."""
    return [axes for axes in figure.findobj(Axes) if axes.get_images()]


def sentence_map(mask: np.ndarray, best: tuple[int, int, int]) -> SentenceMap:
    similarity = np.random.default_rng(0).normal(size=SHAPE)
    return SentenceMap("A nodule of 9.5 mm.", "Lung nodule", mask, similarity, best, hit=True, chance=0.021)


def test_the_cross_lies_on_the_patch_in_both_planes() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[8:11, 1:4, 3:5] = True
    figure = similarity_figure(np.zeros(SHAPE), [sentence_map(mask, (9, 2, 3))], SPACING, title="t")
    crosses = 0
    for axes in panels(figure):
        outline = next(child for child in axes.get_children() if isinstance(child, QuadContourSet))
        (x0, y0), (x1, y1) = outline.get_paths()[0].get_extents().get_points()
        for line in axes.get_lines():
            x, y = line.get_xydata()[0]
            crosses += 1
            assert x0 < x < x1
            assert y0 < y < y1
    assert crosses == 2


def test_slices_pass_through_the_largest_section_of_the_mask_in_mm() -> None:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[2, 7, 4] = True
    mask[2:6, 7, 1] = True
    hu = np.random.default_rng(0).normal(size=SHAPE)
    figure = similarity_figure(hu, [sentence_map(mask, (0, 0, 0))], SPACING, title="t")
    axial, _, coronal, _ = panels(figure)
    np.testing.assert_array_equal(axial.get_images()[0].get_array(), oriented(hu, "axial", 1))
    np.testing.assert_array_equal(coronal.get_images()[0].get_array(), oriented(hu, "coronal", 7))
    assert axial.get_images()[0].get_extent() == [0, 24, 0, 30]
    assert coronal.get_images()[0].get_extent() == [0, 24, 0, 30]


def test_similarity_figure_says_what_it_shows() -> None:
    item = sentence_map(np.ones(SHAPE, dtype=bool), (3, 4, 2))
    written = texts(similarity_figure(np.zeros(SHAPE), [item, item], SPACING, title="step 7"))
    assert written.count("“A nodule of 9.5 mm.”\nLung nodule: best patch (cross) inside the outline; chance 2.1%") == 2
    assert "step 7" in written
    assert written.count("cosine similarity") == 2
