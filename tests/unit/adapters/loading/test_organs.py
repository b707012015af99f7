"""Masks of organs on the prepared grid: what is made, what is made again, and what is refused."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import AFFINE, SHAPE, chest, write_ct_rate, write_volume

from simcrop.adapters.loading.organs import PreparedOrgans, prepare_organs
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid, resample_mask
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError
from simcrop.core.ports import OrganSource

A, B, C = "train_1_a_1", "train_2_a_1", "train_3_a_1"
GRID = Grid((4.0, 5.0, 7.0), (10, 9, 8))
CLASSES = {"lungs": ("left", "right", "absent"), "vessel": ("vessel",), "liver": ("liver",)}


def mask(x: slice, y: slice = slice(3, 9), z: slice = slice(2, 8)) -> np.ndarray:
    voxels = np.zeros(SHAPE, np.uint8)
    voxels[x, y, z] = 1
    return voxels


MASKS = {"left": mask(slice(2, 5)), "right": mask(slice(9, 13)), "vessel": mask(slice(4, 11), slice(5, 7))}


def write_masks(folder: Path, masks: Mapping[str, np.ndarray] = MASKS, affine: np.ndarray = AFFINE) -> None:
    """A folder as TotalSegmentator writes it."""
    for name, voxels in masks.items():
        write_volume(folder / f"{name}.nii.gz", voxels, affine)


class Case:
    """A data set with masks for two of its volumes, and its cache."""

    def __init__(self, root: Path, names: Sequence[str] = (A, B, C)) -> None:
        self.root, self.cache, self.names = root, root / "cache", names
        write_ct_rate(root / "data", names)
        write_masks(self.folder(A))
        write_masks(self.folder(B), {"vessel": MASKS["vessel"]})

    def folder(self, name: str) -> Path:
        return self.root / "data/ground_truth" / name

    def volumes(self, grid: Grid = GRID) -> tuple[CTRateSource, PreparedVolumes]:
        source = CTRateSource(self.root / "data")
        return source, prepare(source, source.studies(), grid, self.cache)

    def organs(
        self,
        *,
        classes: Mapping[str, Sequence[str]] = CLASSES,
        grid: Grid = GRID,
        storage: str = "raw",
        workers: int = 1,
        source: OrganSource | None = None,
    ) -> PreparedOrgans:
        data, prepared = self.volumes(grid)
        told: list[tuple[int, int]] = []
        made = prepare_organs(
            data,
            source or data,
            classes,
            prepared,
            self.names,
            cache=self.cache,
            storage=storage,  # type: ignore[arg-type]
            workers=workers,
            progress=lambda done, total: told.append((done, total)),
        )
        assert told[-1] == (len(made.names), len(made.names))
        return made


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


def bits(organs: PreparedOrgans, name: str) -> torch.Tensor:
    box = torch.empty(organs.size, dtype=torch.int16)
    organs.read_box(name, (0, 0, 0), box)
    return box


def has_class(organs: PreparedOrgans, name: str, number: int) -> torch.Tensor:
    return ((bits(organs, name) >> number) & 1).bool()


def written(organs: PreparedOrgans) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in organs.folder.glob("*[!l]") if path.is_file()}


@pytest.mark.parametrize("storage", ["raw", "blosc2"])
def test_a_class_is_the_union_of_its_masks_on_the_grid_of_the_volume(case: Case, storage: str) -> None:
    organs = case.organs(storage=storage)
    affine = organs.prepared.affine(A)
    expected = {
        name: resample_mask(Volume(torch.from_numpy(voxels), torch.from_numpy(AFFINE)), affine, GRID.size)
        for name, voxels in MASKS.items()
    }
    assert torch.equal(has_class(organs, A, 0), expected["left"] | expected["right"])
    assert torch.equal(has_class(organs, A, 1), expected["vessel"])
    assert (expected["vessel"] & expected["left"]).any()  # organs may overlap, and neither loses a voxel
    assert not has_class(organs, A, 2).any()


def test_a_class_is_known_where_a_volume_has_one_of_its_masks(case: Case) -> None:
    organs = case.organs()
    assert organs.known(A) == [True, True, False]
    assert organs.known(B) == [False, True, False]
    assert organs.known(C) == [False, False, False]
    assert organs.names == {A, B}


def test_outside_of_the_volume_there_is_no_organ(case: Case) -> None:
    box = torch.empty((12, 9, 8), dtype=torch.int16)
    case.organs().read_box(A, (-2, 0, 0), box)
    assert not box[:2].any()
    assert box.any()


def test_what_is_there_from_the_present_files_is_left_alone(case: Case) -> None:
    before = written(case.organs())
    assert written(case.organs()) == before
    assert len(before) == 2


def test_another_mask_or_volume_makes_its_array_anew(case: Case) -> None:
    first = case.organs()
    before, old, unmoved = written(first), bits(first, A), bits(first, B)
    write_masks(case.folder(A), {"left": mask(slice(0, 3))})
    again = case.organs()
    assert not torch.equal(bits(again, A), old)
    changed = {name for name, time in written(again).items() if before[name] != time}
    assert changed == {again.array_file(A).name}
    # The same voxels in another place of the world: the grid moves with the volume, and the masks stay.
    moved = AFFINE.copy()
    moved[0, 3] += 8
    write_volume(CTRateSource(case.root / "data").volume_file(B), chest(1), moved)
    assert not torch.equal(bits(case.organs(), B), unmoved)


def test_a_mask_that_is_gone_is_forgotten(case: Case) -> None:
    case.organs()
    shutil.rmtree(case.folder(A))
    (case.folder(B) / "vessel.nii.gz").unlink()
    organs = case.organs()
    assert organs.names == frozenset()
    assert organs.known(A) == [False] * 3


def test_other_classes_or_grids_have_a_folder_of_their_own(case: Case) -> None:
    folders = {
        case.organs(classes=CLASSES).folder,
        case.organs(classes={**CLASSES, "vessel": ("vessel", "left")}).folder,
        case.organs(classes={"vessel": ("vessel",)}).folder,
        case.organs(grid=replace(GRID, size=(9, 9, 8))).folder,
        case.organs(storage="blosc2").folder,
    }
    assert len(folders) == 5


def test_several_processes_make_the_same(tmp_path: Path) -> None:
    more = [f"train_{number}_a_1" for number in range(4, 8)]
    case = Case(tmp_path, [A, B, *more])
    for name in more:
        write_masks(case.folder(name))
    alone = case.organs()
    expected = {name: bits(alone, name) for name in alone.names}
    shutil.rmtree(alone.folder)
    together = case.organs(workers=2)
    assert together.names == expected.keys() == {A, B, *more}
    assert all(torch.equal(bits(together, name), value) for name, value in expected.items())


def test_a_damaged_mask_is_named_after_all_others_are_made(case: Case) -> None:
    (case.folder(A) / "left.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"left\.nii\.gz: is empty.*; or take the mask away: what has none teaches"):
        case.organs()
    shutil.rmtree(case.folder(A))
    assert case.organs().names == {B}


def test_a_mask_of_another_place_is_refused(case: Case) -> None:
    far = AFFINE.copy()
    far[2, 3] = 500
    write_masks(case.folder(B), affine=far)
    with pytest.raises(
        DataError, match=rf"^{B}: left\.nii\.gz: lies wholly outside the prepared volume; write the mask"
    ):
        case.organs()
