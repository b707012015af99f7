"""Figures and pictures as PNG bytes, small enough for a page or a notebook."""

import io

from matplotlib.figure import Figure
from PIL import Image

_COLOURS = 200


def small_png(figure: Figure, *, dpi: int) -> bytes:
    """A figure in few colours, a third the size."""
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    return fewer_colours(drawn.getvalue())


def fewer_colours(png: bytes) -> bytes:
    """A picture in few colours, where that makes it smaller."""
    packed = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(_COLOURS).save(packed, "PNG", optimize=True)
    return min(packed.getvalue(), png, key=len)
