"""TensorBoard events: a scalar a key, and figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardMetrics:
    """One TensorBoard scalar a key; every resume starts an events file that hides the later steps of older ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def write(self, row: Mapping[str, float | int]) -> None:
        """Write every value but `step` under its key."""
        writer = self._open(int(row["step"]))
        for key, value in row.items():
            if key != "step":
                writer.add_scalar(key, value, int(row["step"]))

    def rewind(self, step: int) -> None:
        """Hide what older events files hold after `step`."""
        self.close()
        self._open(step + 1)

    def close(self) -> None:
        """Write out what is buffered."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self, first_step: int) -> "SummaryWriter":
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=first_step if first_step > 1 else None)
        return self._writer


class TensorBoardFigures:
    """An `on_figure` of RunPictures that shows each figure in TensorBoard under `pictures/NAME`."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._writer: SummaryWriter | None = None

    def __call__(self, name: str, step: int, figure: Figure, path: Path) -> None:
        """Write one figure out at once."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), filename_suffix=".pictures")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]
        self._writer.add_image(f"pictures/{name}", pixels, step, dataformats="HWC")
        self._writer.flush()
