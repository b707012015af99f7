"""Scans that can be read, but look unlike what a model for chest CT was trained on: noted, not refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.problems.content import shape_problems
from simcrop.adapters.problems.surroundings import Surroundings
from simcrop.core.data.problems import Problem, problem
from simcrop.core.data.study import Volume

_LUNG_HU = (-950, -600)
_LEAST_LUNG = 0.02
"""Of what the model sees: 40 phantoms have 0.055 or more, a real chest 0.14, a part of one lung 0.064."""


def unusual(
    file: Path, volume: Volume, seen: NDArray[np.int16], spacing_mm: tuple[float, float, float]
) -> Iterator[Problem]:
    """Notes on a scan: its extent, its voxels' size, what surrounds the patient, and how much lung there is.

    Args:
        file: for the messages.
        volume: HU, on its own grid.
        seen: HU, what the model sees of it.
        spacing_mm: of the model's voxels.
    """
    x, y, z = volume.voxels.shape
    yield from shape_problems(file, (x, y, z), volume.spacing_mm)
    if any(own > wanted * 1.001 for own, wanted in zip(volume.spacing_mm, spacing_mm, strict=True)):
        sizes = [" x ".join(f"{mm:g}" for mm in np.round(each, 2)) for each in (volume.spacing_mm, spacing_mm)]
        message = f"has voxels of {sizes[0]} mm, coarser than the model's of {sizes[1]}"
        yield problem(file, "content.coarse", message, spacing_mm=list(volume.spacing_mm))
    surroundings = Surroundings(lambda hu: hu)
    surroundings.add(volume.voxels.numpy().ravel(order="K"))
    yield from surroundings.problems(file)
    lung = float(((seen > _LUNG_HU[0]) & (seen < _LUNG_HU[1])).mean())
    if lung < _LEAST_LUNG:
        message = f"holds next to no lung where the model looks ({lung:.1%} lie from -950 to -600 HU)"
        yield problem(file, "content.no_lung", message, share=lung)
