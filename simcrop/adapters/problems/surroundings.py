"""Air around the patient, or one value that somebody has put there, as masked public sets have it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.core.data.problems import Problem, problem

_BLOCK = 1 << 20
NO_MATTER = -1500
"""HU below which lies padding: no matter is thinner than -1000, and noise and sharpening reach some hundreds below."""
_ABOVE_AIR = -800
"""HU that no air around a patient has: noise is not constant, and padding lies at air or below."""
_MIN_SHARE, _MIN_BESIDE = 5e-2, 0.75
"""Of one value in all voxels; and of these with another one behind them: noise, and steps of HU, stay far below."""


class Surroundings:
    """Counts the voxels with the value of the first one that is no padding, which lies outside of any patient.

    Args:
        to_hu: makes HU of stored voxels.
        padding: HU that stand for "outside the field of view".
    """

    def __init__(self, to_hu: Callable[[np.ndarray], np.ndarray], padding: Sequence[float] = ()) -> None:
        self._to_hu, self._padding = to_hu, padding
        self._value: Any = None
        self._hu = -np.inf
        self._num_voxels = self._num_alike = self._num_beside = 0

    def add(self, stored: np.ndarray) -> None:
        """The next voxels, in the order of the file; [n]."""
        self._num_voxels += stored.size
        for start in range(0, stored.size if self._value is None else 0, _BLOCK):
            block = stored[start : start + _BLOCK]
            hu = self._to_hu(block)
            matter = np.flatnonzero((hu >= NO_MATTER) & ~np.isin(hu, self._padding))
            if matter.size:
                self._value, self._hu = block[matter[0]], float(hu[matter[0]])
                break
        if self._hu <= _ABOVE_AIR:
            return
        alike = stored == self._value
        self._num_alike += int(np.count_nonzero(alike))
        self._num_beside += int(np.count_nonzero(alike[1:] & alike[:-1]))

    @property
    def background(self) -> tuple[float, float] | None:
        """HU of what surrounds the patient, and its share of the voxels, where it is one value that is not air."""
        share = self._num_alike / max(1, self._num_voxels)
        if share < _MIN_SHARE or self._num_beside < _MIN_BESIDE * self._num_alike:
            return None
        return self._hu, share

    def problems(self, file: Path | str) -> Iterator[Problem]:
        """A note where there is a background that is not air."""
        if self.background is not None:
            value, share = self.background
            message = f"has {value:g} HU in {share:.0%} of its voxels, around the patient, where scans have air (-1000)"
            yield problem(file, "content.background", message, value=value, share=share)
