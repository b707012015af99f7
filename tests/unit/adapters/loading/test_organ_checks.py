"""Masks of organs that lie elsewhere, on another grid, or cannot be opened."""

from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE, SHAPE, write_ct_rate, write_volume

from simcrop.adapters.loading.organ_checks import organ_problems
from simcrop.adapters.sources.ct_rate import CTRateSource

A, B = "train_1_a_1", "train_2_a_1"
FLIPPED = AFFINE @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""The same grid, stored from right to left."""


def moved(mm: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[2, 3] += mm
    return affine


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_ct_rate(tmp_path, [A, B])
    return tmp_path


def found(root: Path) -> list[tuple[str, str]]:
    """(file, code) of every problem."""
    told: list[tuple[int, int]] = []
    source = CTRateSource(root)
    problems = organ_problems(
        source, source, [A, B], workers=1, progress=lambda done, total: told.append((done, total))
    )
    assert told[-1] == (2, 2)
    return [(Path(problem.file).name, problem.code) for problem in problems]


def put(root: Path, name: str, affine: np.ndarray = AFFINE, shape: tuple[int, ...] = SHAPE, volume: str = A) -> Path:
    path = root / "ground_truth" / volume / f"{name}.nii.gz"
    write_volume(path, np.ones(shape, np.uint8), affine)
    return path


def test_masks_on_the_voxels_of_their_volume_are_well_however_they_are_stored(root: Path) -> None:
    put(root, "heart")
    put(root, "aorta", FLIPPED)
    put(root, "trachea", moved(1e-3))
    assert found(root) == []


def test_a_mask_that_lies_elsewhere_is_an_error_and_says_where(root: Path) -> None:
    put(root, "heart", moved(6.0 * SHAPE[2] + 1), volume=B)
    source = CTRateSource(root)
    [problem] = organ_problems(source, source, [A, B], workers=1)
    assert (problem.code, problem.severity) == ("masks.elsewhere", "error")
    assert problem.file.endswith("ground_truth/train_2_a_1/heart.nii.gz")
    assert problem.message == (
        "lies wholly outside its volume: 16 x 14 x 10 voxels of 3 x 3 x 6 mm around (22, 20, 88) mm, of a volume of "
        "16 x 14 x 10 voxels of 3 x 3 x 6 mm around (22, 20, 27) mm"
    )


@pytest.mark.parametrize(
    ("affine", "shape"),
    [(moved(6.0 * SHAPE[2] - 1), SHAPE), (moved(6.0), SHAPE), (AFFINE, (16, 14, 9)), (np.diag([6.0, 6, 6, 1]), SHAPE)],
    ids=["nearly elsewhere", "one slice off", "a slice less", "other spacing"],
)
def test_a_mask_on_another_grid_is_a_note(root: Path, affine: np.ndarray, shape: tuple[int, ...]) -> None:
    put(root, "heart", affine, shape)
    source = CTRateSource(root)
    [problem] = organ_problems(source, source, [A, B], workers=1)
    assert (problem.code, problem.severity) == ("masks.grid", "note")
    assert problem.message.endswith("and its volume 16 x 14 x 10 voxels of 3 x 3 x 6 mm around (22, 20, 27) mm")


def test_what_cannot_be_opened_or_is_not_there_is_told_and_the_others_are_looked_at(root: Path) -> None:
    put(root, "heart").write_bytes(b"")
    put(root, "liver", moved(1000))
    folder = root / "ground_truth" / B
    folder.mkdir()
    (folder / "sentences.json").write_text('{"version": 1, "sentences": [], "organs": {"heart": "gone.nii.gz"}}')
    expected = [
        ("heart.nii.gz", "container.empty"),
        ("liver.nii.gz", "masks.elsewhere"),
        ("gone.nii.gz", "container.missing"),
    ]
    assert found(root) == expected


def test_a_list_that_cannot_be_read_is_told(root: Path) -> None:
    (root / "ground_truth" / A).mkdir(parents=True)
    (root / "ground_truth" / A / "sentences.json").write_text("{")
    assert found(root) == [("train_1_a_1.nii.gz", "text.value")]
