"""One door for volumes: the same patient comes out of every format, wherever a file may be named."""

import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.damage import AFFINE, FINDINGS, check_manifest, synthetic_chest
from support.data_folders import write_table, write_truth
from support.dicom_series import HU, write_series
from support.volume_formats import OTHERS, data_file, write_as

from simcrop.adapters.formats.ground_truth import organ_files
from simcrop.adapters.formats.opening import inspect_volume, is_nifti, opened, read_volume, suffix_of, without_suffix
from simcrop.adapters.formats.scan import read_scan, write_map
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.problems.verdicts import source_stamp
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.truth_folders import WithTruthFolder
from simcrop.core.data.problems import BadFileError, Problem

GRID = Grid((12.0, 12.0, 14.0), (20, 20, 16))
OBLIQUE = AFFINE.copy()
OBLIQUE[:3, :3] = [[-7.5, 2.1, 0.4], [-2.0, -7.6, 0.9], [0.6, 0.7, 9.9]]


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.nii.gz", ".nii.gz"),
        ("a.nii", ".nii"),
        ("a.b.mha", ".mha"),
        ("A.MHD", ".MHD"),
        ("a.NII.gz", ".NII.gz"),
        ("a.nrrd", ".nrrd"),
        ("a.nhdr", ".nhdr"),
        ("a.raw", ""),
        ("nii.gz", ""),
        ("a.npz", ""),
        ("1.2.840", ""),
        ("", ""),
    ],
)
def test_the_end_of_a_name_tells_the_format(name: str, suffix: str) -> None:
    assert suffix_of(name) == suffix
    assert without_suffix(name) + suffix == name
    assert is_nifti(Path(name)) == (".nii" in suffix.lower())


@pytest.mark.parametrize("kind", list(OTHERS))
def test_the_same_voxels_and_places_come_out_of_every_format(tmp_path: Path, kind: str) -> None:
    voxels = synthetic_chest()
    expected = read_volume(write_as(tmp_path / "a.nii.gz", voxels, OBLIQUE), on_problem=lambda found: None)
    name, is_packed = OTHERS[kind]
    for file in (name, name.upper()):
        path = write_as(tmp_path / name, voxels, OBLIQUE, is_packed=is_packed)
        shutil.copyfile(path, tmp_path / file) if file != name else None
        volume = read_volume(tmp_path / file, root=tmp_path, on_problem=lambda found: None)
        assert torch.equal(volume.voxels, expected.voxels)
        torch.testing.assert_close(volume.affine, expected.affine, rtol=0, atol=1e-4)


def test_an_upper_case_nifti_is_the_same(tmp_path: Path) -> None:
    write_as(tmp_path / "a.nii.gz", synthetic_chest(), AFFINE).rename(tmp_path / "A.NII.GZ")
    assert np.array_equal(read_volume(tmp_path / "A.NII.GZ").voxels.numpy(), synthetic_chest()[::-1, ::-1])


def test_a_folder_of_slices_is_a_volume_and_padding_is_air(tmp_path: Path) -> None:
    write_series(tmp_path / "series")
    least = float(HU.min())
    volume = read_volume(tmp_path / "series", padding_value=least)
    assert int((volume.voxels == least).sum()) == 0 < int((read_volume(tmp_path / "series").voxels == least).sum())
    with opened(tmp_path / "series") as stored:
        assert stored.shape == HU.shape


@pytest.mark.parametrize("kind", ["mha", "nrrd"])
def test_declared_padding_is_air_and_is_not_judged(tmp_path: Path, kind: str) -> None:
    voxels = synthetic_chest().copy()
    voxels[:8] = -8192
    path = write_as(tmp_path / OTHERS[kind][0], voxels, AFFINE)
    told: list[Problem] = []
    inspect_volume(path, told.append, root=tmp_path)
    assert [found.code for found in told] == ["content.padding"]
    told.clear()
    inspect_volume(path, told.append, root=tmp_path, padding_value=-8192)
    assert told == []
    assert read_volume(path, padding_value=-8192).voxels.min() > -1100


def test_what_is_named_like_no_volume_is_refused_and_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("no volume")
    for name, code in (("a.txt", "container.format"), ("none", "container.missing"), ("a.mha", "container.missing")):
        with pytest.raises(BadFileError) as refused:
            read_volume(tmp_path / name)
        told: list[Problem] = []
        assert inspect_volume(tmp_path / name, told.append, root=tmp_path) is None
        assert [refused.value.problem.code] == [found.code for found in told] == [code]


def row(name: str) -> dict[str, object]:
    return {"volume": name, "findings": FINDINGS, "impression": "A nodule."}


@pytest.mark.parametrize("kind", list(OTHERS))
def test_a_manifest_may_name_any_format_and_its_masks_too(tmp_path: Path, kind: str) -> None:
    name, is_packed = OTHERS[kind]
    suffix = suffix_of(name)
    root = tmp_path / "data"
    path = write_as(root / f"scans/a{suffix}", synthetic_chest(), AFFINE, is_packed=is_packed)
    mask = (synthetic_chest() > 300).astype(np.uint8)
    truth = root / "ground_truth/scans/a"
    write_truth(truth, mask, AFFINE)
    content = (truth / "sentences.json").read_text().replace("01.nii.gz", f"01{suffix}")
    (truth / "sentences.json").write_text(content)
    mask_file = write_as(truth / f"01{suffix}", mask, AFFINE, is_packed=is_packed)
    write_table(root / "reports.csv", [row(f"scans/a{suffix}")])
    assert check_manifest(root / "reports.csv", tmp_path / "cache") == []
    source = ManifestSource(root / "reports.csv")
    (study,) = source.studies()
    (volume,) = study.reconstructions
    assert study.study_id == "scans/a"
    assert list(source.files()) == [path]
    found = source.read_mask(volume, f"01{suffix}").voxels
    np.testing.assert_array_equal(found.numpy(), mask[::-1, ::-1])
    voxels_file = data_file(mask_file, is_packed=is_packed)
    assert set(source.organ_files(volume)) == {truth / "sentences.json", mask_file, voxels_file}
    elsewhere = WithTruthFolder(source, root / "ground_truth")
    assert elsewhere.ground_truth(volume) == source.ground_truth(volume)
    assert torch.equal(elsewhere.read_mask(volume, f"01{suffix}").voxels, found)
    assert json.loads(content)["organs"] == source.organs(volume)


@pytest.mark.parametrize("kind", ["mhd", "mhd, packed", "nhdr", "nhdr, packed"])
def test_a_change_of_the_voxels_alone_is_seen_by_what_is_remembered(tmp_path: Path, kind: str) -> None:
    name, is_packed = OTHERS[kind]
    path = write_as(tmp_path / name, synthetic_chest(), AFFINE, is_packed=is_packed)
    write_table(tmp_path / "reports.csv", [row(name)])
    voxels = data_file(path, is_packed=is_packed)
    good = voxels.read_bytes()
    voxels.write_bytes(good[:-9])
    found = check_manifest(tmp_path / "reports.csv", tmp_path / "cache")
    assert [problem.code for problem in found] == ["container.truncated"]
    before = source_stamp(ManifestSource(tmp_path / "reports.csv"), name)
    voxels.write_bytes(good)
    assert source_stamp(ManifestSource(tmp_path / "reports.csv"), name) != before
    assert check_manifest(tmp_path / "reports.csv", tmp_path / "cache") == []
    voxels.unlink()
    assert source_stamp(ManifestSource(tmp_path / "reports.csv"), name) == {}


def test_organ_files_of_a_folder_without_masks_are_its_list(tmp_path: Path) -> None:
    assert organ_files(tmp_path) == (tmp_path / "sentences.json",)


def test_files_without_a_row_are_told_in_every_format(tmp_path: Path) -> None:
    for number, name in enumerate(("a.nii.gz", "b.mhd", "c.nrrd", "d.nhdr", "e.mha")):
        write_as(tmp_path / name, synthetic_chest(number), AFFINE)
    write_table(tmp_path / "reports.csv", [row("a.nii.gz")])
    found = check_manifest(tmp_path / "reports.csv", tmp_path / "cache")
    assert {(Path(problem.file).name, problem.code) for problem in found} == {
        (name, "set.file_without_row") for name in ("b.mhd", "c.nrrd", "d.nhdr", "e.mha")
    }


@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_a_map_of_a_scan_has_the_places_of_its_file(tmp_path: Path, name: str) -> None:
    scan = read_scan(write_as(tmp_path / name, synthetic_chest(), AFFINE))
    values = scan.volume.voxels.float().numpy()
    write_map(tmp_path / "map.nii.gz", values, scan, about="a map")
    again = read_volume(tmp_path / "map.nii.gz")
    assert torch.equal(again.voxels.float(), scan.volume.voxels.float())
    torch.testing.assert_close(again.affine, scan.volume.affine)


def prepared_from(folder: Path, name: str) -> PreparedVolumes:
    write_table(folder / "reports.csv", [row(name)])
    source = ManifestSource(folder / "reports.csv")
    return prepare(source, source.studies(), GRID, folder / "cache")


REAL = {
    "mha": ("a.mha", False, ""),
    "mhd": ("a.mhd", False, ""),
    "nrrd, LPS": ("a.nrrd", False, "left-posterior-superior"),
    "nrrd, RAS, gzip": ("a.nrrd", True, "right-anterior-superior"),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[nib.Nifti1Image, PreparedVolumes]:
    """Every second voxel of a real scan along its slices, and the volume prepared from that."""
    real = os.environ.get("SIMCROP_REAL_CT")
    if not real:
        pytest.skip("SIMCROP_REAL_CT names no folder of real volumes")
    folder = tmp_path_factory.mktemp("published")
    shutil.copyfile(Path(real) / "ts_chest_cta_full.nii.gz", folder / "a.nii.gz")
    image = nib.load(folder / "a.nii.gz")
    assert isinstance(image, nib.Nifti1Image)
    return image, prepared_from(folder, "a.nii.gz")


@pytest.mark.parametrize("kind", list(REAL))
def test_a_real_scan_is_prepared_bit_for_bit_alike_from_every_format(
    published: tuple[nib.Nifti1Image, PreparedVolumes], tmp_path: Path, kind: str
) -> None:
    image, expected = published
    name, is_packed, space = REAL[kind]
    more = {"space": space} if space else {}
    write_as(tmp_path / name, np.asarray(image.dataobj), image.affine, is_packed=is_packed, **more)
    prepared = prepared_from(tmp_path, name)
    assert torch.equal(prepared.read(name), expected.read("a.nii.gz"))
    assert torch.equal(prepared.affine(name), expected.affine("a.nii.gz"))
    assert prepared.read(name).float().std() > 100
