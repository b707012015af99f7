"""Read a CT scan as a model was trained to see it: HU, right-front-head, resampled around its centre, cut or padded.

Shapes: X, Y, Z voxels of the scan; H, W, D of what comes of it.
"""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from torch import Tensor

AIR_HU = -1000
"""HU of what lies outside a scan."""
HU_RANGE = (-1024, 3071)
"""What a 12-bit scanner can tell apart."""
_TOUCHING = 1e-3
"""Of a voxel: what lies this little beyond the outermost centres lies on them, but for rounding."""


def model_input(
    scan: Any, *, spacing_mm: Sequence[float], grid_size: Sequence[int], volume_size: Sequence[int]
) -> Tensor:
    """The centre [H, W, D] of a scan in whole HU, float32.

    Args:
        scan: path of a NIfTI file, nibabel image, or (array [X, Y, Z] in HU, affine [4, 4] in mm, RAS).
        spacing_mm: of the grid that it is resampled onto.
        grid_size: voxels of that grid, whose centre lies on the scan's.
        volume_size: voxels of the centre that is cut out of it; air where it is larger.

    Raises:
        ValueError: not a 3D volume of finite numbers with an affine.
    """
    voxels, affine = read_scan(scan)
    return crop_centre(resample(voxels, affine, spacing_mm, grid_size), volume_size).float()


def read_scan(scan: Any) -> tuple[Tensor, np.ndarray]:
    """Voxels [X, Y, Z] whose axes grow to the right, front and head, and their affine; `scan` as for `model_input`."""
    if isinstance(scan, tuple) and len(scan) == 2:
        name, stored, affine = "scan", np.asarray(scan[0]), np.asarray(scan[1], np.float64)
    else:
        name, image = _opened(scan)
        stored, affine = _in_hu(image.dataobj), np.asarray(image.affine, np.float64)
    if stored.dtype.kind not in "biuf":
        raise ValueError(f"{name}: its voxels are of the type {stored.dtype}, not numbers; export it in HU")
    if stored.ndim < 3 or any(size != 1 for size in stored.shape[3:]):
        raise ValueError(f"{name}: has the shape {list(stored.shape)}; a 3D volume is needed")
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise ValueError(f"{name}: its affine does not place the voxels; give one of [4, 4], in mm, RAS")
    stored = stored.reshape(stored.shape[:3], order="A")
    is_small = stored.dtype.kind in "iu" and stored.min() >= -(2**15) and stored.max() < 2**15
    turn = ornt_transform(io_orientation(affine), axcodes2ornt("RAS"))
    # Order K keeps the memory's order, and makes strides positive, as torch needs them.
    voxels = np.array(apply_orientation(stored, turn), np.int16 if is_small else np.float32, order="K")
    if not is_small and not np.isfinite(voxels).all():
        raise ValueError(f"{name}: holds NaN or infinite voxels; export it again")
    return torch.from_numpy(voxels), affine @ inv_ornt_aff(turn, stored.shape)


def resample(voxels: Tensor, affine: np.ndarray, spacing_mm: Sequence[float], size: Sequence[int]) -> Tensor:
    """The scan on an axis-aligned grid around its centre, whole HU [size]; trilinear, air beyond the outermost voxels.

    Args:
        voxels: [X, Y, Z] in HU.
        affine: of these.
        spacing_mm: of the grid.
        size: of the grid.
    """
    middle = (np.array(voxels.shape) - 1) / 2
    grid = np.diag([*spacing_mm, 1.0])
    grid[:3, 3] = affine[:3, :3] @ middle + affine[:3, 3] - np.asarray(spacing_mm) * (np.asarray(size) - 1) / 2
    # Rounded, so that the outermost voxels of aligned grids do not fall outside by an error of rounding.
    combined = np.round(np.linalg.inv(affine) @ grid, 6)
    matrix, offset = combined[:3, :3], combined[:3, 3]
    clipped = voxels.clamp(*HU_RANGE)
    if np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0:
        return _along_axes(clipped, np.diag(matrix), offset, size).round().to(torch.int16)
    return _oblique(clipped, matrix, offset, size).round().to(torch.int16)


def crop_centre(voxels: Tensor, size: Sequence[int]) -> Tensor:
    """The box of `size` at the centre, air where it reaches outside."""
    box = voxels.new_full(tuple(size), AIR_HU)
    starts = [(have - want) // 2 for have, want in zip(voxels.shape, size, strict=True)]
    inside = [
        slice(max(0, start), min(have, start + want))
        for start, have, want in zip(starts, voxels.shape, size, strict=True)
    ]
    into = [slice(part.start - start, part.stop - start) for part, start in zip(inside, starts, strict=True)]
    box[tuple(into)] = voxels[tuple(inside)]
    return box


def _opened(scan: Any) -> tuple[str, Any]:
    """Name and nibabel image. Raises ValueError where left and right are not known."""
    if isinstance(scan, str | PathLike):
        name = str(scan)
        if not Path(name).exists():
            raise ValueError(f"{name}: does not exist; name a NIfTI file")
        try:
            image: Any = nib.load(name)
        except ImageFileError as error:
            raise ValueError(f"{name}: cannot be read by nibabel; convert it to NIfTI") from error
    elif hasattr(scan, "dataobj") and hasattr(scan, "affine"):
        name, image = "scan", scan
    else:
        raise ValueError(f"scan: is a {type(scan).__name__}; give a path, a nibabel image, or (array, affine)")
    header = image.header
    if isinstance(header, nib.Nifti1Header) and not (int(header["sform_code"]) or int(header["qform_code"])):
        raise ValueError(f"{name}: has neither sform nor qform, so left and right are unknown; export it again")
    return name, image


def _in_hu(stored: Any) -> np.ndarray:
    """Numbers of an image in double precision where they are scaled: nibabel would take single."""
    if not nib.is_proxy(stored):
        return np.asarray(stored)
    slope, intercept = float(stored.slope), float(stored.inter)
    values = stored.get_unscaled()
    return values if (slope, intercept) == (1.0, 0.0) else values * np.float64(slope) + np.float64(intercept)


def _along_axes(voxels: Tensor, scale: np.ndarray, offset: np.ndarray, size: Sequence[int]) -> Tensor:
    """Trilinear interpolation one axis after the other, in the order of the memory."""
    order = sorted(range(3), key=voxels.stride, reverse=True)
    voxels = voxels.permute(order)
    outside = torch.zeros((), dtype=torch.bool)
    for dim, axis in enumerate(order):
        along = [1, 1, 1]
        along[dim] = size[axis]
        last = voxels.shape[dim] - 1
        index = torch.arange(size[axis], dtype=torch.float64) * float(scale[axis]) + float(offset[axis])
        low = index.floor().clamp(0, last)
        near, far = (
            torch.from_numpy(np.take(voxels.numpy(), at.long().numpy(), axis=dim)).float()
            for at in (low, (low + 1).clamp_max(last))
        )
        voxels = torch.lerp(near, far, (index - low).clamp(0, 1).float().view(along))
        outside = outside | ((index < -_TOUCHING) | (index > last + _TOUCHING)).view(along)
    return voxels.masked_fill(outside, AIR_HU).permute(*np.argsort(order).tolist()).contiguous()


def _oblique(voxels: Tensor, matrix: np.ndarray, offset: np.ndarray, size: Sequence[int]) -> Tensor:
    """Trilinear interpolation under any affine, a slab of the grid at a time."""
    stored, last = voxels.numpy(), np.array(voxels.shape) - 1
    out = np.empty(tuple(size), np.float32)
    plane = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[2]), indexing="ij"), -1)
    for x in range(size[0]):
        at = matrix[:, 0] * x + plane @ matrix[:, 1:].T + offset
        low = np.clip(np.floor(at), 0, last).astype(np.int64)
        high, share = np.minimum(low + 1, last), np.clip(at - low, 0, 1)
        values = np.zeros(at.shape[:2])
        for corner in np.ndindex(2, 2, 2):
            index = np.where(corner, high, low)
            weight = np.where(corner, share, 1 - share).prod(-1)
            values += weight * stored[index[..., 0], index[..., 1], index[..., 2]]
        out[x] = np.where(((at < 0) | (at > last)).any(-1), AIR_HU, values)
    return torch.from_numpy(out)
