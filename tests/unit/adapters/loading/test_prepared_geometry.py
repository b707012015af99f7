"""Landmarks of a patient come out of `prepare` where they were, however the file is stored."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from nibabel.processing import resample_from_to
from support.data_folders import write_table

from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.sources.manifest import ManifestSource

GRID = Grid((3.0, 3.0, 6.0), (96, 96, 64))
CENTRE = np.array([12.0, -30.0, 140.0])
"""World coordinates of the middle of the patient, mm."""
LANDMARKS = {"left lung": (-70.0, 5.0, 10.0), "right hilum": (45.0, 20.0, -5.0), "apex": (30.0, -40.0, 110.0)}
"""Relative to the middle, mm to the right, front and head; the patient's left is negative."""
RADIUS_MM = 14.0
AIR, TISSUE, LANDMARK = -1000.0, 40.0, 900.0


def patient(affine: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """int16 HU: a body of soft tissue with one dense ball at each landmark, of equal size."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    place = index @ affine[:3, :3].T + affine[:3, 3] - CENTRE
    body = (place[..., 0] / 130) ** 2 + (place[..., 1] / 95) ** 2 < 1
    voxels = np.where(body, TISSUE, AIR)
    for number, landmark in enumerate(LANDMARKS.values()):
        distance = np.linalg.norm(place - np.array(landmark), axis=-1)
        # A soft edge: the centre of mass then hardly depends on where the voxels lie.
        weight = np.clip((RADIUS_MM - distance) / 6, 0, 1)
        voxels += weight * (LANDMARK + 200 * number)
    return np.round(voxels).astype(np.int16)


def stored(path: Path, axes: str, spacing: tuple[float, float, float], degrees: float = 0.0) -> None:
    """The patient as a scanner with these array axes, spacing and obliquity stores it."""
    shape = tuple(round(size / mm) for size, mm in zip((290.0, 220.0, 320.0), spacing, strict=True))
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ tilt @ np.diag(spacing)
    affine[:3, 3] = CENTRE - affine[:3, :3] @ (np.array(shape) - 1) / 2
    way = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    write_nifti(path, apply_orientation(patient(affine, shape), way), affine @ inv_ornt_aff(way, shape))


def prepared_from(folder: Path, grid: Grid = GRID) -> PreparedVolumes:
    write_table(folder / "reports.csv", [{"volume": "v.nii.gz", "findings": "", "impression": ""}])
    source = ManifestSource(folder / "reports.csv")
    return prepare(source, source.studies(), grid, folder / "cache")


def centres(prepared: PreparedVolumes) -> dict[str, np.ndarray]:
    """World coordinates of each landmark: the centre of mass of what is denser than tissue, around its place."""
    voxels, affine = prepared.read("v.nii.gz").double().numpy(), prepared.affine("v.nii.gz").numpy()
    index = np.stack(np.meshgrid(*map(np.arange, voxels.shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    dense = np.clip(voxels - TISSUE - 50, 0, None)
    found: dict[str, np.ndarray] = {}
    for name, landmark in LANDMARKS.items():
        near = np.linalg.norm(world - CENTRE - np.array(landmark), axis=-1) < 2 * RADIUS_MM
        mass = dense * near
        found[name] = (world * mass[..., None]).sum((0, 1, 2)) / mass.sum() - CENTRE
    return found


@pytest.mark.parametrize(
    ("axes", "spacing", "degrees"),
    [
        ("RAS", (2.0, 2.0, 2.0), 0.0),
        ("LPS", (1.5, 1.5, 3.0), 0.0),
        ("SAR", (2.0, 2.5, 2.0), 0.0),
        ("PIR", (2.0, 2.0, 4.0), 0.0),
        ("LPS", (1.7, 1.7, 5.0), 8.0),
        ("RAS", (1.2, 3.0, 2.2), -12.0),
    ],
    ids=["RAS", "LPS", "SAR", "PIR", "oblique LPS", "oblique and anisotropic"],
)
def test_landmarks_stay_within_half_a_voxel_and_left_stays_left(
    tmp_path: Path, axes: str, spacing: tuple[float, float, float], degrees: float
) -> None:
    stored(tmp_path / "v.nii.gz", axes, spacing, degrees)
    prepared = prepared_from(tmp_path)
    for name, centre in centres(prepared).items():
        apart = np.abs(centre - np.array(LANDMARKS[name])) / GRID.spacing_mm
        assert apart.max() < 0.5, f"{name}: {apart} voxels from where it was"
    assert torch.equal(prepared.affine("v.nii.gz")[:3, :3], torch.diag(torch.tensor(GRID.spacing_mm).double()))
    densest = np.unravel_index(int(prepared.read("v.nii.gz")[:, :, 29:36].argmax()), (*GRID.size[:2], 7))
    assert densest[0] > GRID.size[0] / 2, "the hilum is on the patient's right, where index 0 grows"


@pytest.mark.parametrize(
    ("axes", "degrees"), [("RAS", 0.0), ("LPS", 0.0), ("SAR", 7.0)], ids=["RAS", "LPS", "oblique SAR"]
)
def test_a_prepared_volume_is_an_independent_resampling_of_the_clipped_input(
    tmp_path: Path, axes: str, degrees: float
) -> None:
    stored(tmp_path / "v.nii.gz", axes, (1.9, 2.3, 3.1), degrees)
    prepared = prepared_from(tmp_path)
    image = nib.load(tmp_path / "v.nii.gz")
    clipped = nib.Nifti1Image(np.clip(image.get_fdata(), -1024, 3071), image.affine)
    target = (GRID.size, prepared.affine("v.nii.gz").numpy())
    expected = torch.from_numpy(resample_from_to(clipped, target, order=1, cval=AIR).get_fdata())
    inside = resample_from_to(nib.Nifti1Image(np.ones(image.shape), image.affine), target, order=1, cval=0).get_fdata()
    interior = torch.from_numpy(inside > 0.999)
    apart = (prepared.read("v.nii.gz").double() - expected).abs()[interior]
    assert interior.float().mean() > 0.3
    assert apart.max() <= 1.0
