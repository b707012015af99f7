"""Organs in a scan as a picture."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from simcrop.adapters.figures.organs import class_colours, overlay_figure

SPACING = (2.0, 3.0, 4.0)


def volumes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(HU, prediction, truth) of [8, 10, 12]: both classes lie in the slices 6, 4 and 3; the one is moved."""
    truth = np.zeros((8, 10, 12), np.uint8)
    truth[5:7, 2:5, 3:5] = 1
    truth[6, 4:8, 2:4] = 2
    return np.full(truth.shape, -500, np.int16), np.roll(truth, 1, axis=1), truth


def test_colours_are_all_different() -> None:
    for count in (1, 3, 10, 13, 20, 40):
        assert len(set(class_colours(count))) == count


def test_the_slices_with_most_classes_are_shown_with_tint_and_outline() -> None:
    hu, predicted, truth = volumes()
    hu[6, 4, 3] = 400
    figure = overlay_figure(hu, predicted, truth, ["left", "right"], SPACING, title="one study")
    assert figure.get_suptitle() == "one study"
    panels = figure.get_axes()
    assert [axes.get_xlabel() for axes in panels] == ["axial", "coronal", "sagittal"]
    for axes, (plane, index) in zip(panels, ((2, 3), (1, 4), (0, 6)), strict=True):
        grey, tint = axes.get_images()
        assert np.asarray(grey.get_array()).max() == 400, "not the slice through the place of both classes"
        shown = predicted.take(index, plane).T[::-1, ::-1]
        rgba = np.asarray(tint.get_array())
        assert ((rgba[..., 3] > 0) == (shown > 0)).all()
        for number, colour in enumerate(class_colours(2), 1):
            assert (rgba[shown == number][:, :3] == to_rgb(colour)).all()
        assert list(grey.get_extent()) == list(tint.get_extent())
    edges = [axes.collections[0].get_paths()[0].get_extents() for axes in panels[:1]]
    # The patient's right is on the left of the picture, so voxels 5 and 6 of 8 lie 1 to 3 voxels of 2 mm from the left.
    assert (edges[0].xmin, edges[0].xmax) == pytest.approx((2.0, 6.0), abs=1.1)
    assert (edges[0].ymin, edges[0].ymax) == pytest.approx((6.0, 15.0), abs=1.6)


def test_the_legend_names_classes_and_styles() -> None:
    hu, predicted, truth = volumes()
    figure = overlay_figure(hu, predicted, truth, ["left lung", "right lung"], SPACING, title="")
    [legend] = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["left lung", "right lung", "tint: prediction", "line: truth"]
    colours = [to_rgb(handle.get_facecolor()) for handle in legend.legend_handles[:2]]  # pyright: ignore
    assert colours == class_colours(2)


def test_a_truth_without_any_organ_is_drawn_too() -> None:
    hu, predicted, truth = volumes()
    assert len(overlay_figure(hu, predicted, np.zeros_like(truth), ["a", "b"], SPACING, title="").get_axes()) == 3
