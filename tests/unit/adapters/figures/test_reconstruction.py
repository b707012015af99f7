"""The picture of a reconstruction: each volume in its column."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text

from simcrop.adapters.figures.ct import PLANES, oriented
from simcrop.adapters.figures.reconstruction import reconstruction_figure

SHAPE = (12, 10, 6)


SPACING = (2.0, 3.0, 5.0)


def texts(figure: Figure) -> str:
    """Every text of a figure in one string."""
    return "\n".join(artist.get_text() for artist in figure.findobj(Text))


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
