"""Volumes of a page are NIfTI that others read, at their place, with values within half a step."""

import base64
import gzip
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from simcrop.adapters.pages.volumes import coded_hu, coded_map, coded_mask

AFFINE = np.eye(4)
AFFINE[:3, :3] = Rotation.from_euler("xyz", [7, -11, 13], degrees=True).as_matrix() @ np.diag([1.5, 1.5, 3.0])
AFFINE[:3, 3] = (-120.0, 40.5, -700.25)
DRAWS = np.random.default_rng(0)


def read(coded: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    image = nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(coded["nifti"])))
    assert image.get_data_dtype() == np.uint8
    return np.asarray(image.dataobj), image.affine


def test_hu_lie_within_half_a_step_and_end_where_the_steps_do() -> None:
    hu = DRAWS.integers(-1024, 1271, (6, 5, 4)).astype(np.int16)
    hu[0, 0, :2] = (-3000, 3071)
    coded = coded_hu(hu, AFFINE)
    codes, affine = read(coded)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
    decoded = coded["low"] + codes * float(coded["step"])
    assert np.abs(decoded - hu.clip(-1024, 1271)).max() <= coded["step"] / 2
    assert (codes[0, 0, 0], codes[0, 0, 1]) == (0, 255)


def test_a_map_uses_all_steps_and_has_0_where_it_has_no_value() -> None:
    values = DRAWS.normal(size=(6, 5, 4)).astype(np.float32)
    values[1, 2, 3] = np.nan
    coded = coded_map(values, AFFINE)
    codes, affine = read(coded)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
    assert np.argwhere(codes == 0).tolist() == [[1, 2, 3]]
    assert (codes[codes > 0].min(), codes.max()) == (1, 255)
    decoded = coded["low"] + codes * coded["step"]
    assert np.nanmax(np.abs(decoded - values)) <= coded["step"] / 2 + 1e-6


@pytest.mark.parametrize("value", [0.25, np.nan])
def test_a_map_of_one_value_or_of_none_is_coded_too(value: float) -> None:
    coded = coded_map(np.full((2, 2, 2), value, np.float32), AFFINE)
    codes, _ = read(coded)
    assert np.unique(codes).tolist() == ([0] if np.isnan(value) else [1])
    if not np.isnan(value):
        assert coded["low"] + coded["step"] == pytest.approx(value)


def test_a_mask_has_two_codes_and_the_same_volume_the_same_bytes() -> None:
    inside = DRAWS.random((6, 5, 4)) > 0.5
    codes, affine = read(coded_mask(inside, AFFINE))
    assert np.array_equal(codes, inside)
    np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
    assert coded_mask(inside, AFFINE) == coded_mask(inside, AFFINE)
