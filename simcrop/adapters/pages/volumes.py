"""Volumes as a page holds them: a byte a voxel, as gzipped NIfTI in base64, and what a byte stands for."""

import base64
import gzip
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.formats.nifti import nifti_bytes

HU_LOW, HU_STEP = -1024, 9
"""Byte 0, and what a byte more stands for: 256 steps reach from air to dense bone, in steps below the noise of a CT."""
_LAST = 255


def coded_hu(hu: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, Any]:
    """A scan; HU beyond the steps are as their ends.

    Args:
        hu: [X, Y, Z].
        affine: [4, 4], indices to world coordinates in mm, RAS.

    Returns:
        `nifti`, and `low` and `step`: byte b is low + b * step HU.
    """
    codes = np.rint((hu.astype(np.float32) - HU_LOW) / HU_STEP).clip(0, _LAST).astype(np.uint8)
    return {"nifti": _packed(codes, affine), "low": HU_LOW, "step": HU_STEP}


def coded_map(values: NDArray[np.floating[Any]], affine: NDArray[np.float64]) -> dict[str, Any]:
    """A map: byte 0 has no value, 1 the lowest and 255 the highest.

    Args:
        values: [X, Y, Z]; NaN has no value.
        affine: as above.

    Returns:
        `nifti`, and `low` and `step`: byte b > 0 is low + b * step.
    """
    there = np.isfinite(values)
    lowest, highest = (float(values[there].min()), float(values[there].max())) if there.any() else (0.0, 0.0)
    step = (highest - lowest) / (_LAST - 1) or 1.0  # a map of one value alone
    codes = np.where(there, np.rint((np.where(there, values, lowest) - lowest) / step) + 1, 0).astype(np.uint8)
    return {"nifti": _packed(codes, affine), "low": lowest - step, "step": step}


def coded_classes(classes: NDArray[np.integer[Any]], affine: NDArray[np.float64]) -> dict[str, Any]:
    """A map of at most 255 classes: `nifti`, byte i is the i-th class and 0 the background. Arguments as above."""
    return {"nifti": _packed(classes.astype(np.uint8), affine)}


def coded_mask(inside: NDArray[Any], affine: NDArray[np.float64]) -> dict[str, Any]:
    """A mask: `nifti`, byte 1 inside and 0 outside. Arguments as above."""
    return {"nifti": _packed((inside > 0).astype(np.uint8), affine)}


def _packed(codes: NDArray[np.uint8], affine: NDArray[np.float64]) -> str:
    data = nifti_bytes("volume.nii", codes, affine)
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode()
