"""Scans in, pixel values out."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from simcrop.adapters.export.standalone.image_processing_simcrop import SimcropImageProcessor
from simcrop.adapters.export.standalone.scan import model_input

VOXELS = np.random.default_rng(0).integers(-1000, 1000, (12, 14, 10)).astype(np.int16)
SIZES = {"spacing_mm": [2.0, 2.0, 3.0], "grid_size": [8, 9, 7], "volume_size": [6, 8, 4]}


def test_one_scan_or_several_of_any_kind(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, np.diag([-1.5, 1.5, 2.0, 1.0]))
    nib.save(image, tmp_path / "a.nii.gz")
    processor = SimcropImageProcessor(**SIZES)
    one = processor(tmp_path / "a.nii.gz")["pixel_values"]
    assert torch.equal(one[0, 0], model_input(image, **SIZES))
    assert (one.shape, one.dtype) == ((1, 1, 6, 8, 4), torch.float32)
    several = processor([str(tmp_path / "a.nii.gz"), image, (VOXELS, image.affine)])["pixel_values"]
    assert torch.equal(several, one.expand(3, -1, -1, -1, -1))
    arrays = processor.preprocess(image, return_tensors="np")["pixel_values"]
    assert isinstance(arrays, np.ndarray)
    assert np.array_equal(arrays, one.numpy())


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    SimcropImageProcessor(**SIZES).save_pretrained(tmp_path)
    back = SimcropImageProcessor.from_pretrained(tmp_path)
    assert {key: getattr(back, key) for key in SIZES} == SIZES


def test_an_argument_that_it_would_not_heed_is_refused() -> None:
    with pytest.raises(TypeError, match="preprocess: does not know do_resize; sizes belong to the processor itself"):
        SimcropImageProcessor(**SIZES)((VOXELS, np.eye(4)), do_resize=False)
