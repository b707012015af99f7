"""Pictures: what is drawn where, in the radiological convention."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from simcrop.adapters.figures.ct import PLANES, oriented
from simcrop.adapters.figures.losses import curves_figure
from simcrop.adapters.figures.reconstruction import reconstruction_figure
from simcrop.adapters.figures.similarity import SentenceMap, similarity_figure

SHAPE = (12, 10, 6)
SPACING = (2.0, 3.0, 5.0)


@pytest.mark.parametrize(
    ("plane", "voxel", "row", "column"),
    [
        ("axial", (11, 9, 2), 0, 0),  # right and front: top left
        ("axial", (0, 0, 2), -1, -1),
        ("coronal", (11, 4, 5), 0, 0),  # right and head: top left
        ("coronal", (0, 4, 0), -1, -1),
        ("sagittal", (3, 9, 5), 0, 0),  # front and head: top left
        ("sagittal", (3, 0, 0), -1, -1),
    ],
)
def test_slices_are_shown_as_radiologists_read_them(
    plane: str, voxel: tuple[int, int, int], row: int, column: int
) -> None:
    volume = np.zeros(SHAPE)
    volume[voxel] = 1
    assert oriented(volume, plane, voxel[PLANES[plane]])[row, column] == 1


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


def test_reconstruction_figure_puts_each_volume_in_its_column() -> None:
    generator = np.random.default_rng(0)
    original, rebuilt = generator.normal(size=(2, *SHAPE))
    masked = np.where(np.arange(SHAPE[0])[:, None, None] < 9, np.nan, original)
    figure = reconstruction_figure(original, masked, rebuilt, SPACING, title="t")
    assert "seen by the encoder\n(25% of the patches)" in texts(figure)
    for row, plane in enumerate(PLANES):
        for column, volume in enumerate((masked, rebuilt, original)):
            shown = figure.axes[3 * row + column].get_images()[0].get_array()
            expected = oriented(volume, plane, SHAPE[PLANES[plane]] // 2)
            np.testing.assert_array_equal(np.ma.filled(shown, np.nan), expected)


def test_curves_skip_what_a_step_lacks() -> None:
    rows = [{"step": 1, "loss": 3.0, "loss_report": 2.0}, {"step": 2, "loss": None, "loss_report": 1.5}]
    rows += [{"step": 3, "loss": 1.0, "loss_report": 1.0, "validation_loss": 4.0}]
    figure = curves_figure(rows, title="t")
    total, report = figure.axes
    assert [axes.get_title() for axes in (total, report)] == ["total", "report"]
    assert total.get_lines()[0].get_xydata().tolist() == [[1, 3], [3, 1]]
    assert total.get_lines()[1].get_xydata().tolist() == [[3, 4]]
    assert report.get_lines()[0].get_xydata().tolist() == [[1, 2], [2, 1.5], [3, 1]]
