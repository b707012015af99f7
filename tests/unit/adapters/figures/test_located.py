"""The picture of a sentence in a scan: what stands where."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.text import Text

from simcrop.adapters.figures.located import Located, located_figure

SHAPE, SPACING = (30, 24, 20), (2.0, 2.5, 4.0)
BEST = (21, 5, 14)


def located(
    *, inside: np.ndarray | None = None, sentence: str = "Fluid.", shape: tuple[int, int, int] = SHAPE
) -> Located:
    similarity = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    seen = np.ones(shape, bool) if inside is None else inside
    return Located(sentence, ["first fact", "second fact"], np.zeros(shape), similarity, seen, BEST, SPACING)


def panels(figure: Figure) -> list[Axes]:
    """With the map and without, for axial, coronal and sagittal in turn."""
    return [axes for axes in figure.axes if axes.get_images()]


def texts(figure: Figure) -> list[str]:
    return [artist.get_text() for artist in figure.findobj(Text)]


def test_six_slices_through_the_best_voxel_with_hair_lines_that_meet_there() -> None:
    drawn = panels(located_figure(located()))
    assert len(drawn) == 6
    assert [len(axes.get_images()) for axes in drawn] == [2, 1] * 3
    # Columns run to the patient's left (sagittal: to the back), so mm are counted from the other end.
    x, y = (30 - 21.5) * 2.0, (24 - 5.5) * 2.5
    up_y, up_z = 5.5 * 2.5, 14.5 * 4.0
    for axes, (across, up) in zip(drawn, [(x, up_y)] * 2 + [(x, up_z)] * 2 + [(y, up_z)] * 2, strict=True):
        lines = [np.array(line.get_data()) for line in axes.get_lines() if line.get_linewidth() < 1]
        level = {float(line[1, 0]) for line in lines if line[1, 0] == line[1, 1]}
        upright = {float(line[0, 0]) for line in lines if line[0, 0] == line[0, 1]}
        assert (upright, level) == ({across}, {up})


def test_the_map_is_that_of_the_slice_and_invisible_where_the_model_sees_nothing() -> None:
    inside = np.ones(SHAPE, bool)
    inside[:, :, 15:] = False
    item = located(inside=inside)
    axial, coronal = (panels(located_figure(item))[index] for index in (0, 2))
    np.testing.assert_array_equal(
        np.asarray(axial.get_images()[1].get_array()), item.similarity[:, :, 14].T[::-1, ::-1]
    )
    opacity = np.asarray(coronal.get_images()[1].get_alpha())
    assert (opacity[:5] == 0).all()
    assert (opacity[5:] > 0).any()
    assert any(isinstance(artist, QuadContourSet) for artist in coronal.get_children())
    assert not any(isinstance(artist, QuadContourSet) for artist in axial.get_children())


def test_letters_scale_bars_sentence_facts_and_colours_are_there() -> None:
    figure = located_figure(located())
    found = texts(figure)
    for text in ("“Fluid.”", "first fact\nsecond fact", "axial", "coronal", "sagittal", "cosine similarity"):
        assert text in found
    assert {found.count(letter) for letter in "RLAPHF"} == {4}
    # 60 mm across: a third of it has room for 20; the sagittal slice is as wide.
    assert found.count("20 mm") == 6
    for axes in panels(figure):
        [bar] = [line for line in axes.get_lines() if line.get_linewidth() > 2]
        assert np.ptp(np.asarray(bar.get_xdata())) == pytest.approx(20)


def test_panels_have_one_scale_and_the_picture_stays_small() -> None:
    for shape in (SHAPE, (30, 24, 200), (300, 24, 20)):
        figure = located_figure(located(shape=shape))
        FigureCanvasAgg(figure).draw()
        scales: set[float] = set()
        for axes in panels(figure):
            box = axes.get_window_extent()
            scales.add(float(box.width / np.ptp(axes.get_xlim())))
            scales.add(float(box.height / np.ptp(axes.get_ylim())))
        assert max(scales) - min(scales) <= 0.03 * max(scales)
        assert max(figure.get_size_inches()) < 14


def test_a_long_sentence_is_cut_after_two_lines() -> None:
    [shown] = [text for text in texts(located_figure(located(sentence="word " * 100))) if text.startswith("“")]
    assert shown.count("\n") == 1
    assert shown.endswith(" …”")
