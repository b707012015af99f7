"""The package phantom as a whole: chests on disk, their orientation, Hounsfield units, lesions and masks."""

import json
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.sources.checking import check_folder, check_source
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.phantom import write_phantoms

NUM_CASES = 8


@lru_cache(maxsize=32)
def read(path: Path) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    image = nib.as_closest_canonical(nib.load(path))
    return np.asarray(image.dataobj), image.affine


def truths(folder: Path) -> list[tuple[Path, dict[str, object]]]:
    found = []
    for path in sorted(folder.glob("ground_truth/*/sentences.json")):
        found += [(path.parent, sentence) for sentence in json.loads(path.read_text())["sentences"]]
    return found


def diseased(truth_folder: Path, *, besides: str = "") -> NDArray[np.bool_]:
    """Voxels in a mask of any finding that is present, but for the mask named `besides`."""
    masks = {str(s["mask"]) for folder, s in truths(truth_folder.parents[1]) if folder == truth_folder and s["present"]}
    return np.any([read(truth_folder / mask)[0] > 0 for mask in masks - {besides}], axis=0)


def lungs_of(truth_folder: Path) -> NDArray[np.bool_]:
    return sum(read(truth_folder / f"{side}_lung.nii.gz")[0] for side in ("left", "right")) > 0


def volume_of(truth_folder: Path) -> Path:
    (volume,) = truth_folder.parents[1].glob(f"dataset/*/*/*/{truth_folder.name}.nii.gz")
    return volume


def test_the_ct_rate_adapter_reads_them(phantoms: Path) -> None:
    source = CTRateSource(phantoms)
    studies = source.studies()
    assert len(studies) == NUM_CASES
    assert {study.split for study in studies} == {"train", "validation"}
    volume = source.read_volume(studies[0].reconstructions[0])
    assert min(volume.voxels.shape) >= 44
    assert all(2.0 < spacing < 7.5 for spacing in volume.spacing_mm)


def test_grids_differ_from_study_to_study(phantoms: Path) -> None:
    images = [nib.load(path) for path in phantoms.glob("dataset/*/*/*/*.nii.gz")]
    assert len({image.shape for image in images}) > len(images) // 2
    assert len({nib.aff2axcodes(image.affine) for image in images}) >= 3
    assert len({tuple(np.round(image.header.get_zooms(), 3)) for image in images}) > len(images) // 2


def test_hounsfield_units_are_those_of_a_chest(phantoms: Path) -> None:
    for path in phantoms.glob("dataset/*/*/*/*.nii.gz"):
        hu, _ = read(path)
        assert hu.dtype == np.int16
        assert -1024 <= hu.min() <= -990
        truth_folder = phantoms / "ground_truth" / path.name[:-7]
        assert -930 < np.median(hu[lungs_of(truth_folder) & ~diseased(truth_folder)]) < -650
        trachea, _ = read(phantoms / "ground_truth" / path.name[:-7] / "trachea.nii.gz")
        assert np.median(hu[trachea > 0]) < -700
        body = (hu > -200) & (hu < 200)
        assert body.mean() > 0.15
        assert (hu > 250).sum() > 500  # bone


def test_left_is_left(phantoms: Path) -> None:
    checked = 0
    for folder in sorted((phantoms / "ground_truth").iterdir()):
        centres = {}
        for side in ("left", "right"):
            mask, affine = read(folder / f"{side}_lung.nii.gz")
            centres[side] = (affine @ np.append(np.argwhere(mask).mean(0), 1))[0]
        assert centres["left"] < centres["right"]  # x grows to the right in RAS+
        for where, sentence in truths(phantoms):
            text = str(sentence["text"]).lower()
            if where != folder or not sentence["present"] or sentence["finding"] in {None, "Medical material"}:
                continue
            if ("left" in text) == ("right" in text) or "both" in text or "artery" in text:
                continue
            mask, affine = read(folder / str(sentence["mask"]))
            x = (affine @ np.append(np.argwhere(mask).mean(0), 1))[0]
            nearer = min(centres, key=lambda side: abs(centres[side] - x))
            assert nearer in text, (text, x, centres)
            checked += 1
    assert checked >= 3


def test_masks_are_on_the_volumes_grid_and_not_empty(phantoms: Path) -> None:
    named = [(folder, sentence) for folder, sentence in truths(phantoms) if sentence["mask"]]
    assert any(sentence["present"] for _, sentence in named)
    assert any(not sentence["present"] for _, sentence in named)
    for folder, sentence in named:
        mask, volume = nib.load(folder / str(sentence["mask"])), nib.load(volume_of(folder))
        assert mask.shape == volume.shape
        assert np.array_equal(mask.affine, volume.affine)
        values = np.unique(np.asarray(mask.dataobj))
        assert values.tolist() == [0, 1], sentence
    for folder, sentence in truths(phantoms):
        assert sentence["mask"] or not sentence["present"], (folder, sentence)


def test_fluid_lies_low_and_behind_and_dense_lesions_are_denser_than_lung(tmp_path: Path) -> None:
    write_phantoms(tmp_path, num_cases=16, seed=11, workers=2)
    seen = set()
    for folder, sentence in truths(tmp_path):
        if not sentence["present"]:
            continue
        finding = sentence["finding"]
        hu, _ = read(volume_of(folder))
        mask = read(folder / str(sentence["mask"]))[0] > 0
        lungs = lungs_of(folder)
        if finding == "Pleural effusion":
            assert np.argwhere(mask).mean(0)[1] < np.argwhere(lungs).mean(0)[1]  # behind: anterior is up
            assert np.argwhere(mask).mean(0)[2] < np.argwhere(lungs).mean(0)[2]
            front, back = np.argwhere(lungs)[:, 1].max(), np.argwhere(lungs)[:, 1].min()
            assert np.argwhere(mask)[:, 1].max() < back + 0.7 * (front - back)  # none in front of the heart
            assert -60 < np.median(hu[mask]) < 60
        elif finding in ("Consolidation", "Lung opacity", "Lung nodule"):
            clear = lungs & ~diseased(folder)
            if not clear.any():  # diffuse findings on both sides leave nothing to compare with
                continue
            assert hu[mask].mean() > np.median(hu[clear]) + 60, (finding, sentence)
        elif finding == "Emphysema":
            alone = mask & ~diseased(folder, besides=str(sentence["mask"]))
            if not alone.any():
                continue
            assert np.median(hu[alone]) < -880
        elif finding in ("Arterial wall calcification", "Coronary artery wall calcification", "Medical material"):
            assert hu[mask].max() > 150, (finding, hu[mask].max())
        else:
            continue
        seen.add(finding)
    assert len(seen) >= 6, seen


def test_a_check_finds_nothing_in_the_files_themselves(phantoms: Path, tmp_path: Path) -> None:
    source = CTRateSource(phantoms)
    found = check_source(source, [], tmp_path, max_tokens=512, workers=1).problems
    assert [problem for problem in found if problem.code.partition(".")[0] in {"container", "header", "content"}] == []
    masks = check_folder(phantoms / "ground_truth", tmp_path, workers=1).problems
    assert {problem.code for problem in masks if problem.code.startswith(("container", "header"))} == set()
