"""Small pictures show what large ones do."""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from simcrop.adapters.figures.png import fewer_colours, small_png


def shades() -> Figure:
    figure = Figure((3, 2))
    figure.add_axes((0, 0, 1, 1)).imshow(np.add.outer(np.arange(200.0), np.arange(300.0)), cmap="inferno")
    return figure


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)


def test_a_figure_of_many_shades_is_smaller_and_looks_alike() -> None:
    drawn = io.BytesIO()
    shades().savefig(drawn, format="png", dpi=100)
    small = small_png(shades(), dpi=100)
    assert len(small) < 0.7 * len(drawn.getvalue())
    assert pixels(small).shape == (200, 300, 3)
    apart = np.abs(pixels(small) - pixels(drawn.getvalue()))
    assert apart.mean() < 3
    assert apart.max() < 40


def test_what_grows_by_it_stays_as_it_is() -> None:
    plain = io.BytesIO()
    Image.new("1", (8, 8)).save(plain, "PNG", optimize=True)
    assert fewer_colours(plain.getvalue()) == plain.getvalue()
