"""Regions to learn from: drawn by seed and step alone, half of them around an organ."""

import pytest
import torch
from support.organ_data import CLASSES, HU, LPS, OBLIQUE, RAS, write_msd

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.evaluation.segmentation.crops import CropBatches
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.core.evaluation.settings import SegmentSettings
from simcrop.core.recipe import Size


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> OrganMaps:
    folder = tmp_path_factory.mktemp("crops")
    write_msd(folder / "msd", [RAS, LPS, OBLIQUE])
    return OrganMaps(BTCVSource(folder / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), folder / "cache")


def batches(maps: OrganMaps, roi: Size = (8, 8, 4), *, seed: int = 0, volumes: int = 1, crops: int = 4) -> CropBatches:
    settings = SegmentSettings(batch_size=volumes, crops_per_volume=crops)
    return CropBatches(maps, list(maps.source.studies()), settings, roi, seed=seed)


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
    one = CropBatches(maps, list(maps.source.studies())[:1], SegmentSettings(crops_per_volume=4), (8, 8, 4), seed=0)
    assert not torch.equal(one.at(1).voxels, one.at(2).voxels)
    two = (
        CropBatches(maps, list(maps.source.studies())[:1], SegmentSettings(batch_size=2), (8, 8, 4), seed=0)
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
