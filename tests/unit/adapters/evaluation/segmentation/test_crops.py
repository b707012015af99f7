"""Regions to learn from: drawn by seed and step alone, half of them around an organ."""

import hashlib
from typing import Any

import pytest
import torch
from support.organ_data import CLASSES, HU, LPS, OBLIQUE, RAS, write_msd

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.evaluation.segmentation.crops import CropBatches
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.recipe import Size

WINDOW = (-1000.0, 1000.0)
BEFORE = "eecd8faa583b84bed4cbe2a0fea7d9486c12ace0b56972115e2cdc70dba553fe"
"""SHA-256 of regions that were cut before there were keys for more of what the paper's authors do."""


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> OrganMaps:
    folder = tmp_path_factory.mktemp("crops")
    write_msd(folder / "msd", [RAS, LPS, OBLIQUE])
    return OrganMaps(BTCVSource(folder / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), folder / "cache")


def batches(
    maps: OrganMaps, roi: Size = (8, 8, 4), *, seed: int = 0, volumes: int = 1, crops: int = 4, **more: Any
) -> CropBatches:
    settings = SegmentSettings(batch_size=volumes, crops_per_volume=crops, **more)
    return CropBatches(maps, list(maps.source.studies()), settings, roi, seed=seed, window=WINDOW)


def test_a_step_has_the_regions_of_its_volumes(maps: OrganMaps) -> None:
    regions = batches(maps, volumes=2, crops=3).at(5)
    volume, classes = regions.voxels, regions.classes
    assert volume.shape == classes.shape == (6, 1, 8, 8, 4)
    assert volume.dtype == classes.dtype == torch.int16
    told = torch.tensor(HU)[classes.long()]
    assert (volume - told).abs().float().median() < 60, "voxels and classes are not of the same place"


def test_regions_depend_on_seed_and_step_alone(maps: OrganMaps) -> None:
    first, again, other = batches(maps), batches(maps), batches(maps, seed=1)
    again.at(1)
    torch.manual_seed(99)
    assert torch.equal(first.at(7).voxels, again.at(7).voxels)
    assert not torch.equal(first.at(7).voxels, other.at(7).voxels)
    one = CropBatches(
        maps, list(maps.source.studies())[:1], SegmentSettings(crops_per_volume=4), (8, 8, 4), seed=0, window=WINDOW
    )
    assert not torch.equal(one.at(1).voxels, one.at(2).voxels)
    two = (
        CropBatches(
            maps, list(maps.source.studies())[:1], SegmentSettings(batch_size=2), (8, 8, 4), seed=0, window=WINDOW
        )
        .at(1)
        .voxels
    )
    assert not torch.equal(two[:16], two[16:]), "a volume that comes twice in a step is cut differently"


def test_batches_begin_with_the_step_that_is_asked_for(maps: OrganMaps) -> None:
    crops = batches(maps)
    for step, [regions] in zip((3, 4), crops.batches(3), strict=False):
        assert torch.equal(regions.voxels, crops.at(step).voxels)
        assert regions.study_ids == tuple(study.study_id for study in crops.studies_of(step))


def test_every_epoch_goes_through_all_studies(maps: OrganMaps) -> None:
    crops = batches(maps, volumes=2)
    names = [study.study_id for step in range(1, 16) for study in crops.studies_of(step)]
    epochs = [tuple(names[first : first + 3]) for first in range(0, 30, 3)]
    assert all(len(set(epoch)) == 3 for epoch in epochs)
    assert len(set(epochs)) > 1


def test_half_of_the_regions_are_around_an_organ(maps: OrganMaps) -> None:
    crops = batches(maps, (1, 1, 1), crops=400)
    share = torch.cat([crops.at(step).classes > 0 for step in (1, 2, 3)]).float().mean()
    assert 0.44 < share < 0.56


def test_a_volume_smaller_than_the_region_lies_in_air(maps: OrganMaps) -> None:
    regions = batches(maps, (40, 40, 40), crops=1).at(1)
    volume, classes = regions.voxels, regions.classes
    assert volume.shape == (1, 1, 40, 40, 40)
    assert volume[0, 0, 0].unique().tolist() == [-1000]
    inside = (volume != -1000).nonzero()[:, 2:]
    middle = (inside.amin(0) + inside.amax(0)) / 2
    assert ((middle - 19.5).abs() <= 0.5).all()
    assert classes[volume == -1000].sum() == 0
    assert classes.sum() > 0


def test_by_default_regions_are_what_they_always_were(maps: OrganMaps) -> None:
    crops, found = batches(maps, volumes=2, crops=3), hashlib.sha256()
    for step in (1, 7):
        regions = crops.at(step)
        found.update(regions.voxels.numpy().tobytes() + regions.classes.numpy().tobytes())
    assert found.hexdigest() == BEFORE


def test_regions_around_the_background_are_around_a_voxel_above_a_value(maps: OrganMaps) -> None:
    regions = batches(maps, (1, 1, 1), crops=300, background_above=30.0).at(1)
    background = regions.voxels[regions.classes == 0]
    assert 100 < len(background) < 200
    assert background.min() > 30
    anywhere = batches(maps, (1, 1, 1), crops=300).at(1)
    assert anywhere.voxels[anywhere.classes == 0].min() < 0
    nowhere = batches(maps, (1, 1, 1), crops=300, background_above=20000.0).at(1)
    assert torch.equal(nowhere.voxels, anywhere.voxels), (
        "a volume without such a voxel is cut as if none were asked for"
    )


def test_regions_lie_in_the_box_of_the_foreground(maps: OrganMaps) -> None:
    window = (-1000.0, 2400.0)  # its middle is 700 HU, which bone alone exceeds
    settings = SegmentSettings(crops_per_volume=1, foreground=True)
    crops = CropBatches(maps, list(maps.source.studies()), settings, (1, 1, 1), seed=0, window=window)
    [study] = crops.studies_of(1)
    found = maps.read(study.reconstructions[0])
    sizes = [int(places.max() - places.min()) + 1 for places in (found.voxels > 700).nonzero().unbind(1)]
    roi = (sizes[0] + 3, sizes[1], sizes[2])
    whole = CropBatches(maps, list(maps.source.studies()), settings, roi, seed=0, window=window).at(1).voxels[0, 0]
    assert (whole[0] == -1000).all(), "air, one voxel on this side and two on the other, and the box between"
    assert (whole[-2:] == -1000).all()
    assert (whole[1:-2] > 700).sum() == (found.voxels > 700).sum()


def test_regions_are_changed_by_seed_step_and_place_alone(maps: OrganMaps) -> None:
    changes: dict[str, Any] = {"flip": 0.5, "intensity_shift": 0.1, "intensity_probability": 1.0}
    plain, crops, again = batches(maps, crops=8), batches(maps, crops=8, **changes), batches(maps, crops=8, **changes)
    assert torch.equal(crops.at(3).voxels, again.at(3).voxels)
    assert torch.equal(crops.at(3).classes, again.at(3).classes)
    means = [[each.at(step).voxels.float().mean((1, 2, 3, 4)) for step in (3, 4)] for each in (plain, crops)]
    shifts = (torch.cat(means[1]) - torch.cat(means[0])).round().tolist()
    assert len(set(shifts)) > 12, "every region of every step has its own"
    assert max(map(abs, shifts)) <= 101
