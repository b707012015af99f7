"""A scan that exports read is the one that evaluation reads."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from simcrop.adapters.export.standalone.scan import crop_centre, model_input, read_scan, resample
from simcrop.adapters.formats.opening import read_volume
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.core.data.augment import crop_centre as our_crop_centre

SPACING, GRID, SIZE = (3.0, 4.0, 5.5), (13, 10, 9), (8, 10, 12)
SIZES: dict[str, Any] = {"spacing_mm": SPACING, "grid_size": GRID, "volume_size": SIZE}


def smooth(shape: tuple[int, ...] = (24, 20, 17), seed: int = 0) -> np.ndarray:
    """HU with every value of a scan and some beyond, and no two neighbours alike."""
    return np.random.default_rng(seed).integers(-2000, 3500, shape).astype(np.int16)


def turned(degrees: float) -> np.ndarray:
    """An affine with its x and y axes turned."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.diag([1.7, 1.9, 2.5, 1.0])
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ affine[:3, :3]
    affine[:3, 3] = (-31, 12, 7)
    return affine


def aligned(*signs: int, order: tuple[int, int, int] = (0, 1, 2)) -> np.ndarray:
    """An affine whose axes are those of the patient, some reversed, in any order."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(signs) * (1.7, 1.9, 2.5))[:, list(order)]
    affine[:3, 3] = (-31, 12, 7)
    return affine


def as_evaluated(path: Path) -> torch.Tensor:
    return our_crop_centre(resample_volume(read_volume(path), Grid(SPACING, GRID))[0], SIZE)


def saved(path: Path, voxels: np.ndarray, affine: np.ndarray, scaling: tuple[float, float] | None = None) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    if scaling is not None:
        image.header.set_slope_inter(*scaling)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("affine", [aligned(1, 1, 1), aligned(-1, 1, -1), aligned(1, -1, 1, order=(2, 0, 1))])
@pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.float32, np.int32])
def test_axis_aligned_scans_are_the_same_to_the_bit(affine: np.ndarray, dtype: type, tmp_path: Path) -> None:
    voxels = smooth() * 0.05 + 100 if dtype == np.uint8 else smooth() * 1.01 if dtype == np.float32 else smooth()
    path = saved(tmp_path / "a.nii.gz", np.clip(voxels, 0 if dtype == np.uint8 else -9999, None).astype(dtype), affine)
    found = model_input(path, **SIZES)
    assert found.dtype == torch.float32
    assert torch.equal(found, as_evaluated(path).float())


@pytest.mark.parametrize("scaling", [(2.0, -1024.0), (0.37, 11.25)])
def test_scaled_numbers_are_the_same(scaling: tuple[float, float], tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", smooth(), aligned(-1, -1, 1), scaling)
    assert torch.equal(model_input(str(path), **SIZES), as_evaluated(path).float())


@pytest.mark.parametrize("degrees", [3.0, 17.0])
def test_oblique_scans_are_the_same_but_for_rounding(degrees: float, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", smooth(), turned(degrees))
    apart = (model_input(path, **SIZES) - as_evaluated(path)).abs()
    assert apart.max() <= 1
    assert (apart > 0).float().mean() < 1e-2


def test_an_image_and_an_array_with_its_affine_are_a_scan_too(tmp_path: Path) -> None:
    voxels, affine = smooth(), aligned(-1, 1, 1)
    path = saved(tmp_path / "a.nii", voxels, affine)
    expected = model_input(path, **SIZES)
    for scan in (nib.load(path), nib.Nifti1Image(voxels, affine), (voxels, affine), (voxels[..., None], affine)):
        assert torch.equal(model_input(scan, **SIZES), expected)


def test_what_lies_outside_is_air() -> None:
    cut = crop_centre(torch.ones(3, 5, 2, dtype=torch.int16), (5, 3, 2))
    assert torch.equal(cut, our_crop_centre(torch.ones(3, 5, 2, dtype=torch.int16), (5, 3, 2)))
    assert cut[:, 0, 0].tolist() == [-1000, 1, 1, 1, -1000]
    voxels, affine = read_scan((np.full((4, 4, 4), 50, np.int16), np.eye(4)))
    wide = resample(voxels, affine, (1.0, 1.0, 1.0), (6, 4, 4))
    assert wide[:, 0, 0].tolist() == [-1000, 50, 50, 50, 50, -1000]


def test_what_is_no_scan_is_refused(tmp_path: Path) -> None:
    unplaced = nib.Nifti1Image(smooth(), None)
    (tmp_path / "a.txt").write_text("no image")
    nan = np.full((8, 8, 8), np.nan, np.float32)
    refused: list[tuple[Any, str]] = [
        (tmp_path / "b.nii", r"b\.nii: does not exist; name a NIfTI file"),
        (tmp_path / "a.txt", r"a\.txt: cannot be read by nibabel; convert it to NIfTI"),
        (unplaced, "scan: has neither sform nor qform, so left and right are unknown"),
        (smooth(), r"scan: is a ndarray; give a path, a nibabel image, or \(array, affine\)"),
        ((smooth() * 1j, np.eye(4)), "scan: its voxels are of the type complex128, not numbers; export it in HU"),
        ((smooth((4, 4)), np.eye(4)), r"scan: has the shape \[4, 4\]; a 3D volume is needed"),
        ((smooth((4, 4, 4, 2)), np.eye(4)), r"scan: has the shape \[4, 4, 4, 2\]; a 3D volume is needed"),
        ((smooth(), np.zeros((4, 4))), "scan: its affine does not place the voxels"),
        ((smooth(), np.eye(3)), "scan: its affine does not place the voxels"),
        ((nan, np.eye(4)), "scan: holds NaN or infinite voxels"),
    ]
    for scan, message in refused:
        with pytest.raises(ValueError, match=message):
            model_input(scan, **SIZES)
