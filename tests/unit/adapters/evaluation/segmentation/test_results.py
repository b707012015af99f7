"""Whole volumes: segmented, measured, and written where they came from."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest
import torch
from support.organ_data import AFFINES, CLASSES, HU, LPS, RAS, SHAPE, boxes, write_msd
from torch import Tensor, nn

pytest.importorskip("monai", reason="MONAI is not installed")

from monai import metrics as monai_metrics

from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.evaluation.segmentation.results import (
    Segmenter,
    segment_study,
    selection_dice,
    write_prediction,
)
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.loading.own_grid import OwnGrid
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.adapters.sources.checking import check_folder
from simcrop.core.errors import DataError
from simcrop.core.recipe import TrainRecipe


class ByHU(nn.Module):
    """Stands for a network: scores each class by how near a voxel is to its HU; remembers the regions it was given."""

    roi_size = (12, 12, 8)

    def __init__(self) -> None:
        super().__init__()
        self.hu = nn.Parameter(torch.tensor(HU, dtype=torch.float32))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, volume: Tensor) -> Tensor:
        self.sizes.append(tuple(volume.shape))
        return -(volume - self.hu.view(1, -1, 1, 1, 1)).abs()


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> OrganMaps:
    folder = tmp_path_factory.mktemp("results")
    write_msd(folder / "msd", list(AFFINES.values()))
    return OrganMaps(BTCVSource(folder / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), folder / "cache")


def segmenter() -> tuple[Segmenter, ByHU]:
    network = ByHU()
    return Segmenter(cast(UNETR, network), 0.5, TrainRecipe()), network


@pytest.mark.parametrize("shape", [(24, 20, 18), (9, 13, 5)])
def test_every_voxel_gets_its_class_whatever_the_size(shape: tuple[int, int, int]) -> None:
    by_hu, network = segmenter()
    truth = torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    predicted = by_hu(torch.tensor(HU)[truth.long()].to(torch.int16))
    assert predicted.dtype == torch.uint8
    assert torch.equal(predicted, truth)
    assert set(network.sizes) == {(1, 1, 12, 12, 8)}


def test_what_lies_beyond_a_small_volume_is_air() -> None:
    _, network = segmenter()
    seen: list[Tensor] = []
    network.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    Segmenter(cast(UNETR, network), 0.5, TrainRecipe())(torch.full((6, 6, 4), 900, dtype=torch.int16))
    assert seen[0].unique().tolist() == [-1000, 900]


@pytest.mark.parametrize("number", range(len(AFFINES)))
def test_a_prediction_overlays_its_file_voxel_by_voxel(maps: OrganMaps, tmp_path: Path, number: int) -> None:
    """World positions, on another grid. Near the volume's faces it is blurred with the air around, and not compared."""
    study = maps.source.studies()[number]
    found = segment_study(segmenter()[0], maps, study, tmp_path / "predictions", hausdorff=True)
    image, written = (
        cast(Any, nib.load(path)) for path in (maps.source.volume_file(study.reconstructions[0]), found.file)
    )
    assert written.shape == image.shape == SHAPE
    np.testing.assert_array_equal(written.affine, image.affine)
    assert written.get_data_dtype() == np.uint8
    predicted, (_, truth) = np.asarray(written.dataobj), boxes(number)
    inner = np.zeros(SHAPE, bool)
    inner[2:-2, 2:-2, 2:-2] = True
    for value in (1, 2):
        ours, wanted = (np.argwhere((each == value) & inner) for each in (predicted, truth))
        middles = [image.affine[:3, :3] @ places.mean(0) for places in (ours, wanted)]
        assert np.abs(middles[0] - middles[1]).max() < 1.0, "mm between the centres of prediction and truth"
        assert 0.85 < len(ours) / len(wanted) < 1.15
    assert found.own_dice == pytest.approx(
        [2 * ((predicted == c) & (truth == c)).sum() / ((predicted == c).sum() + (truth == c).sum()) for c in (1, 2)]
    )


def test_on_the_same_grid_nothing_changes_and_files_are_exact(maps: OrganMaps, tmp_path: Path) -> None:
    study = maps.source.studies()[0]
    found = segment_study(segmenter()[0], maps, study, tmp_path, hausdorff=True)
    np.testing.assert_array_equal(np.asarray(cast(Any, nib.load(found.file)).dataobj), boxes(0)[1])
    assert found.dice == found.own_dice == [1.0, 1.0]
    assert found.distances_mm == [0.0, 0.0]
    counts = [int((boxes(0)[1] == value).sum()) for value in (1, 2)]
    assert found.volumes_ml == found.true_volumes_ml == pytest.approx([count * 45 / 1000 for count in counts])
    assert found.file == tmp_path.resolve() / "imagesTr/case0.nii.gz"


def test_distances_and_dice_are_monais(maps: OrganMaps, tmp_path: Path) -> None:
    by_hu, network = segmenter()
    with torch.no_grad():
        network.hu[1] = 880.0
        network.hu[2] = -400.0
    study = maps.source.studies()[2]
    found = segment_study(by_hu, maps, study, tmp_path, hausdorff=True)
    organs = maps.read(study.reconstructions[0])
    sides = [
        nn.functional.one_hot(each.long(), 3).movedim(-1, 0)[None].float()
        for each in (by_hu(organs.voxels), organs.classes)
    ]
    assert found.dice == pytest.approx(monai_metrics.compute_dice(*sides, include_background=False)[0].tolist())
    assert min(found.dice) < 0.95
    distances = monai_metrics.compute_hausdorff_distance(*sides, percentile=95, spacing=[3.0, 3.0, 5.0])[0]
    assert found.distances_mm == pytest.approx(distances.tolist())
    assert max(found.distances_mm) > 0
    off = segment_study(by_hu, maps, study, tmp_path, hausdorff=False)
    assert all(map(math.isnan, off.distances_mm))
    assert selection_dice(by_hu, maps, [study]) == pytest.approx(sum(found.dice) / 2)


def test_a_class_that_is_not_predicted_has_no_distance(maps: OrganMaps, tmp_path: Path) -> None:
    by_hu, network = segmenter()
    with torch.no_grad():
        network.hu[1] = 1e6
    found = segment_study(by_hu, maps, maps.source.studies()[0], tmp_path, hausdorff=True)
    assert found.dice[0] == 0
    assert math.isnan(found.distances_mm[0])
    assert not math.isnan(found.distances_mm[1])


def test_a_file_with_a_fourth_axis_gets_one_too(maps: OrganMaps, tmp_path: Path) -> None:
    write_msd(tmp_path / "msd", [LPS])
    hu, _ = boxes(0)
    path = tmp_path / "msd/imagesTr/case0.nii.gz"
    nib.save(nib.Nifti1Image(hu[..., None], LPS), path)
    own = OrganMaps(BTCVSource(tmp_path / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), tmp_path / "cache")
    found = segment_study(segmenter()[0], own, own.source.studies()[0], tmp_path / "out", hausdorff=False)
    assert cast(Any, nib.load(found.file)).shape == (*SHAPE, 1)
    assert found.own_dice == [1.0, 1.0]


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_a_check_finds_no_fault_with_a_prediction(tmp_path: Path, affine: np.ndarray) -> None:
    grid = OwnGrid(SHAPE, SHAPE, torch.from_numpy(affine))
    write_prediction(tmp_path / "out", "case", torch.from_numpy(boxes(0)[1].astype(np.uint8)), grid)
    codes = {problem.code for problem in check_folder(tmp_path / "out", tmp_path / "cache", workers=1).problems}
    assert codes <= {"content.mask", "content.field_of_view"}


def test_a_prediction_never_leaves_its_folder(tmp_path: Path) -> None:
    grid = OwnGrid((1, 1, 1), (1, 1, 1), torch.eye(4).double())
    with pytest.raises(DataError, match="outside"):
        write_prediction(tmp_path / "out", "../case", torch.zeros(1, 1, 1, dtype=torch.uint8), grid)
    write_nifti(tmp_path / "probe.nii.gz", np.zeros((1, 1, 1), np.uint8), RAS)
    assert not (tmp_path / "case.nii.gz").exists()


def test_with_the_background_as_a_class_the_mean_is_monais(maps: OrganMaps, tmp_path: Path) -> None:
    by_hu, network = segmenter()
    with torch.no_grad():
        network.hu[1] = 880.0
        network.hu[2] = -400.0
    study = maps.source.studies()[2]
    organs = maps.read(study.reconstructions[0])
    sides = [
        nn.functional.one_hot(each.long(), 3).movedim(-1, 0)[None].float()
        for each in (by_hu(organs.voxels), organs.classes)
    ]
    background, *others = monai_metrics.compute_dice(*sides, include_background=True)[0].tolist()
    assert 0.5 < background < 1
    assert segment_study(by_hu, maps, study, tmp_path, hausdorff=False).background_dice == pytest.approx(background)
    mean = selection_dice(by_hu, maps, [study], with_background=True)
    assert mean == pytest.approx((background + sum(others)) / 3)


def test_the_foreground_alone_is_segmented() -> None:
    network = ByHU()
    network.encoder = SimpleNamespace(window=(-1000.0, 1000.0))  # pyright: ignore[reportAttributeAccessIssue]
    volume = torch.full((20, 20, 16), -800, dtype=torch.int16)
    volume[3:17, 4:18, 2:12] = 30
    volume[8, 8, 8] = -800
    whole = Segmenter(cast(UNETR, network), 0.5, TrainRecipe())(volume)
    inside = Segmenter(cast(UNETR, network), 0.5, TrainRecipe(), foreground=True)(volume)
    assert whole[0, 0, 0] == whole[8, 8, 8] == inside[8, 8, 8] == 2
    expected = torch.zeros_like(whole)
    expected[3:17, 4:18, 2:12] = whole[3:17, 4:18, 2:12]
    assert torch.equal(inside, expected)
