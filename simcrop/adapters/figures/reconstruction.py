"""Picture of a volume as the encoder saw it, as the decoder rebuilt it, and as it is."""

import numpy as np
from matplotlib.figure import Figure

from simcrop.adapters.figures.ct import PLANES, Array, Spacing, show_ct


def reconstruction_figure(original: Array, masked: Array, rebuilt: Array, spacing_mm: Spacing, *, title: str) -> Figure:
    """Draw what the encoder saw, what the decoder made of it, and the truth, in three planes through the middle.

    Args:
        original: [H, W, D] HU.
        masked: the same with NaN where patches were hidden.
        rebuilt: the same with predictions in the hidden patches.
        spacing_mm: of the voxels.
        title: above the picture.
    """
    figure = Figure(figsize=(9.6, 10.2), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(3, 3)
    share = float(np.isnan(masked).mean())
    columns = {
        f"seen by the encoder\n({1 - share:.0%} of the patches)": masked,
        "rebuilt\n(hidden patches predicted)": rebuilt,
        "original": original,
    }
    for row, plane in enumerate(PLANES):
        index = original.shape[PLANES[plane]] // 2
        for column, (name, volume) in enumerate(columns.items()):
            show_ct(panels[row, column], volume, spacing_mm, plane, index)
            if row == 0:
                panels[row, column].set_title(name, fontsize=10)
        panels[row, 0].set_ylabel(plane, fontsize=10)
    return figure
