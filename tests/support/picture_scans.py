"""Scans on disk as folders of grey pictures, a slice each."""

from pathlib import Path

import numpy as np
from PIL import Image

GREY = np.random.default_rng(0).integers(0, 250, (12, 14, 16), dtype=np.uint8)

"""[slice, row, column]."""


def write_scan(folder: Path, grey: np.ndarray = GREY, suffix: str = ".png", name: str = "{}") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(grey):
        Image.fromarray(picture).save(folder / f"{name.format(number)}{suffix}")
