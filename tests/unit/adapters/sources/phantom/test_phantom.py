"""Phantom chests as files: bytes, layout, orientation, Hounsfield units, masks."""

import csv
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from simcrop.adapters.sources.checking import check_folder, check_source
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.label_tables import LABELS
from simcrop.adapters.sources.phantom import write_phantoms
from simcrop.core.errors import DataError

NUM_CASES = 8


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=2)
    return folder


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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


def test_the_same_seed_gives_the_same_bytes_with_one_process(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "again", num_cases=NUM_CASES, seed=6, workers=1)
    assert digest(tmp_path / "again") == digest(phantoms)


def test_an_interrupted_set_is_completed_to_the_same_bytes(phantoms: Path, tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise InterruptionError

    folder = tmp_path / "cut"
    with pytest.raises(InterruptionError):
        write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=1, progress=interrupt)
    written = {path: path.stat().st_mtime_ns for path in folder.glob("dataset/**/*.nii.gz")}
    assert written
    write_phantoms(folder, num_cases=NUM_CASES, seed=6, workers=1)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert digest(folder) == digest(phantoms)


def test_a_complete_set_is_left_alone_and_other_parameters_are_refused(phantoms: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")}
    write_phantoms(phantoms, num_cases=NUM_CASES, seed=6)
    assert {path: path.stat().st_mtime_ns for path in phantoms.rglob("*")} == before
    with pytest.raises(DataError, match=r"seed is 6, asked for 7.*choose another folder or delete it"):
        write_phantoms(phantoms, num_cases=NUM_CASES, seed=7)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="holds no phantoms"):
        write_phantoms(tmp_path, num_cases=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("cases", "fraction"), [(0, 0.3), (3, 1.0), (3, -0.1)])
def test_impossible_parameters_are_refused(tmp_path: Path, cases: int, fraction: float) -> None:
    with pytest.raises(DataError, match="out of range"):
        write_phantoms(tmp_path / "none", num_cases=cases, validation_fraction=fraction)


def test_the_tables_have_ct_rates_columns_and_a_row_a_volume(phantoms: Path) -> None:
    volumes = {path.name for path in phantoms.glob("dataset/*/*/*/*.nii.gz")}
    for table, columns in {
        "radiology_text_reports/{}_reports.csv": {"VolumeName", "Findings_EN", "Impressions_EN"},
        "metadata/{}_metadata.csv": {"VolumeName", "RescaleIntercept", "RescaleSlope", "XYSpacing", "ZSpacing"},
    }.items():
        rows = []
        for split in ("train", "validation"):
            with (phantoms / table.format(split)).open(newline="") as file:
                rows += list(csv.DictReader(file))
        assert columns <= set(rows[0])
        assert {row["VolumeName"] for row in rows} == volumes
    with (phantoms / "multi_abnormality_labels/train_predicted_labels.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["VolumeName", *LABELS]


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
