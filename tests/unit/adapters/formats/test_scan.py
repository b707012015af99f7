"""A scan and a map of it: the same grid to the last bit, and nothing of the patient."""

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from support.damage import synthetic_chest
from support.dicom_series import write_series

from simcrop.adapters.formats.scan import read_scan, write_map
from simcrop.core.data.problems import BadFileError
from simcrop.core.errors import DataError, InputError

VOXELS = synthetic_chest()
TURN = Rotation.from_euler("xyz", [7, -11, 23], degrees=True).as_matrix()


def affine_of(columns: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = columns * (0.7, 0.8, 2.3)  # numbers that 32 bits round
    affine[:3, 3] = (-123.4, 56.7, -890.1)
    return affine


AFFINES = {
    "RAS": affine_of(np.eye(3)),
    "LPS": affine_of(np.diag([-1.0, -1, 1])),
    "oblique": affine_of(TURN),
    "oblique, slices first": affine_of(TURN @ np.array([[0, 1.0, 0], [0, 0, -1], [1, 0, 0]])),
}


def write(path: Path, affine: np.ndarray, *, forms: str = "sq", kind: Any = nib.Nifti1Image, shape: Any = None) -> Path:
    image = kind(VOXELS if shape is None else VOXELS.reshape(shape), affine)
    image.set_sform(affine, code=1 if "s" in forms else 0)
    image.set_qform(affine, code=2 if "q" in forms else 0)
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = b"JOHN DOE"
    if kind is nib.Nifti1Image:
        image.header["db_name"] = b"1234567"
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"JOHN DOE"))
    nib.save(image, path)
    return path


@pytest.mark.parametrize("name", ["map.nii.gz", "map.nii", "MAP.NII.GZ"])
@pytest.mark.parametrize("forms", ["sq", "s", "q"])
@pytest.mark.parametrize("axes", AFFINES)
def test_a_map_has_shape_and_affine_of_its_scan_to_the_last_bit(
    tmp_path: Path, axes: str, forms: str, name: str
) -> None:
    path = write(tmp_path / "scan.nii.gz", AFFINES[axes], forms=forms)
    scan = read_scan(path)
    values = np.random.default_rng(0).normal(size=scan.shape).astype(np.float32)
    write_map(tmp_path / "new" / name, values, scan, about="a map")
    there, written = nib.load(path), nib.load(tmp_path / "new" / name)
    assert written.shape == there.shape
    assert np.array_equal(written.affine, there.affine)
    for form in ("get_sform", "get_qform"):
        (first, code), (second, same) = (getattr(image, form)(coded=True) for image in (there, written))
        assert (code, first is None) == (same, second is None)
        assert first is None or np.array_equal(first, second)
    assert written.get_data_dtype() == np.float32
    assert np.array_equal(written.get_fdata(dtype=np.float32), values)
    is_packed = (tmp_path / "new" / name).read_bytes().startswith(b"\x1f\x8b")
    assert is_packed == name.lower().endswith(".gz")
    assert np.array_equal(scan.affine, there.affine)


def test_the_volume_of_a_scan_is_turned_to_the_patient_and_values_follow_it(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "scan.nii", AFFINES["oblique, slices first"]))
    stored = nib.load(tmp_path / "scan.nii").get_fdata(dtype=np.float32)
    assert np.array_equal(scan.as_ras(stored), scan.volume.voxels.float().numpy())
    assert scan.shape == stored.shape != tuple(scan.volume.voxels.shape)
    assert (np.diag(scan.volume.affine[:3, :3]) > 0).all()


def test_nifti_2_and_a_fourth_axis_of_one_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.nii", AFFINES["LPS"], kind=nib.Nifti2Image, shape=(*VOXELS.shape, 1))
    scan = read_scan(path)
    assert scan.shape == VOXELS.shape
    write_map(tmp_path / "map.nii", np.ones(scan.shape, np.float32), scan, about="a map")
    written = nib.load(tmp_path / "map.nii")
    assert (type(written), written.shape) == (nib.Nifti2Image, (*VOXELS.shape, 1))
    assert np.array_equal(written.affine, nib.load(path).affine)


def test_a_map_says_nothing_of_the_patient_and_is_written_alike_every_time(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "scan.nii.gz", AFFINES["RAS"]))
    for name in ("one.nii.gz", "two.nii.gz"):
        write_map(tmp_path / name, np.zeros(scan.shape, np.float32), scan, about="a map")
    data = [(tmp_path / name).read_bytes() for name in ("one.nii.gz", "two.nii.gz")]
    assert data[0] == data[1]
    assert b"DOE" not in gzip.decompress(data[0])
    assert b"1234567" not in gzip.decompress(data[0])
    assert not nib.load(tmp_path / "one.nii.gz").header.extensions
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.nii.gz", "scan.nii.gz", "two.nii.gz"]


def test_a_dicom_series_has_a_grid_of_its_own(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    scan = read_scan(tmp_path / "series")
    assert scan.shape == tuple(scan.volume.voxels.shape)
    values = scan.volume.voxels.float().numpy()
    assert np.array_equal(scan.as_ras(values), values)
    write_map(tmp_path / "map.nii.gz", values, scan, about="a map")
    written = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(written.affine, scan.volume.affine.numpy(), rtol=1e-6)
    assert np.array_equal(written.get_fdata(dtype=np.float32), values)


def test_what_is_no_scan_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere.nii.gz: does not exist; name a file \(.nii.gz, .*\), or a folder"):
        read_scan(tmp_path / "nowhere.nii.gz")
    (tmp_path / "scan.dcm").write_text("")
    with pytest.raises(DataError, match=r"scan.dcm: is none of .nii.gz, .nii, .* nor a folder of DICOM slices"):
        read_scan(tmp_path / "scan.dcm")
    raw = nib.Nifti1Image((VOXELS + 2000).astype(np.int16), AFFINES["RAS"])
    raw.header.set_xyzt_units("mm")
    nib.save(raw, tmp_path / "raw.nii.gz")
    with pytest.raises(BadFileError, match=r"raw.nii.gz"):
        read_scan(tmp_path / "raw.nii.gz")


@pytest.mark.parametrize("axes", AFFINES)
def test_a_scan_from_memory_is_that_of_its_file(tmp_path: Path, axes: str) -> None:
    path = write(tmp_path / "scan.nii.gz", AFFINES[axes])
    file, image = read_scan(path), nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    for given in (image, (np.asanyarray(image.dataobj), image.affine), (torch.from_numpy(VOXELS), image.affine)):
        scan = read_scan(given)
        assert torch.equal(scan.volume.voxels, file.volume.voxels)
        assert torch.equal(scan.volume.affine, file.volume.affine)
        assert scan.shape == file.shape
        assert np.array_equal(scan.affine, file.affine)
    assert read_scan(file) is file


def test_trailing_axes_of_one_voxel_are_dropped() -> None:
    assert read_scan((VOXELS[..., None], AFFINES["RAS"])).shape == VOXELS.shape


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (VOXELS, InputError, "scan: is a ndarray"),
        (3, InputError, "scan: is a int"),
        ((VOXELS > 0, np.eye(4)), InputError, "array: holds bool"),
        ((VOXELS, np.eye(3)), InputError, r"array: its affine has the shape \(3, 3\)"),
        ((VOXELS[0], AFFINES["RAS"]), BadFileError, "a 3D volume is needed"),
        ((np.stack([VOXELS, VOXELS], -1), AFFINES["RAS"]), BadFileError, "a 3D volume is needed"),
        ((VOXELS, np.diag([1.0, 1, 0, 1])), BadFileError, "voxel spacing"),
        ((np.where(VOXELS.max() == VOXELS, np.nan, VOXELS), AFFINES["RAS"]), BadFileError, "NaN"),
        ((VOXELS + 9000, AFFINES["RAS"]), BadFileError, "no lung or air"),
        (nib.Nifti1Image(VOXELS, None), BadFileError, "voxel spacing"),
    ],
)
def test_what_is_no_scan_in_hu_is_refused_from_memory(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read_scan(given)
