"""A step of a segmentation network. That a resumed training is the same: tests/e2e."""

from typing import Any

import pytest
import torch

pytest.importorskip("monai", reason="MONAI is not installed")

from monai.losses.dice import DiceCELoss
from support.organ_data import CLASSES, RAS, write_msd

from simcrop.adapters.evaluation.segmentation.crops import CropBatches, Regions
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.evaluation.segmentation.training import SegmenterFit, segmenter_optimizers
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.reference import REFERENCE
from simcrop.core.training.loop import train_step
from simcrop.core.training.optimization import parameter_groups

ROI = (8, 8, 4)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> OrganMaps:
    folder = tmp_path_factory.mktemp("training")
    write_msd(folder / "msd", [RAS, RAS])
    return OrganMaps(BTCVSource(folder / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), folder / "cache")


def small_network() -> UNETR:
    torch.manual_seed(0)
    recipe = ModelRecipe(volume_size=ROI, patch_size=(4, 4, 2), embed_dim=12, depth=1, num_heads=2)
    return UNETR(VisionEncoder(recipe, REFERENCE), num_classes=3, roi_size=ROI, feature_size=2)


def learner(network: UNETR, **settings: Any) -> SegmenterFit:
    chosen = SegmentSettings(**{"steps": 2, "crops_per_volume": 1, "lr": 0.01, **settings})
    return SegmenterFit(network, segmenter_optimizers(network, chosen), chosen, TrainRecipe())


def regions_of(maps: OrganMaps, settings: SegmentSettings, step: int) -> list[Regions]:
    return next(
        CropBatches(maps, list(maps.source.studies()), settings, ROI, seed=0, window=(-1000.0, 1000.0)).batches(step)
    )


def step(maps: OrganMaps, tuned: SegmenterFit) -> dict[str, float]:
    batches = regions_of(maps, tuned.settings, 1)
    return train_step(tuned, batches, step=1, communicator=SingleProcess())


def test_the_encoder_has_a_rate_of_its_own_and_vectors_do_not_decay(maps: OrganMaps) -> None:
    network = small_network()
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    step(maps, learner(network, lr=1e-2, encoder_lr=1e-5, weight_decay=50.0, warmup_steps=0))
    moved = {name: float((weight - before[name]).detach().abs().max()) for name, weight in network.named_parameters()}
    assert moved["encoder.cls_token"] == 0
    assert 0 < moved["encoder.blocks.0.mlp.fc1.bias"] <= 1.1e-5
    assert 0 < moved["out.conv.conv.bias"] <= 1.1e-2
    matrix = "encoder3.transp_conv_init.conv.weight"
    assert float((network.get_parameter(matrix) / before[matrix]).detach().median()) == pytest.approx(0.5, abs=0.1)


def test_without_a_rate_of_its_own_the_encoder_learns_like_the_rest() -> None:
    groups = parameter_groups(learner(small_network()).optimizers)
    assert {group["lr_scale"] for group in groups} == {1.0}


def test_a_step_tells_one_loss_and_learns_from_the_studies_of_its_crops(maps: OrganMaps) -> None:
    tuned = learner(small_network(), batch_size=2)
    [regions] = regions_of(maps, tuned.settings, 3)
    assert regions.voxels.shape == regions.classes.shape == (2, 1, *ROI)
    assert sorted(regions.study_ids) == ["imagesTr/case0.nii.gz", "imagesTr/case1.nii.gz"]
    row = step(maps, tuned)
    assert list(row) == ["loss", "lr", "grad_norm"]
    assert row["loss"] > 0.1


def test_a_step_that_is_not_finite_names_its_studies_and_changes_nothing(maps: OrganMaps) -> None:
    network = small_network()
    with torch.no_grad():
        network.out.conv.conv.bias.fill_(torch.nan)
    before = network.encoder.blocks[0].mlp.fc1.weight.clone()
    with pytest.raises(
        NonFiniteError, match=r"^step 1: loss = nan.* batch: imagesTr/case\d.nii.gz; check them, or low"
    ):
        step(maps, learner(network))
    assert torch.equal(network.encoder.blocks[0].mlp.fc1.weight, before)


@pytest.mark.parametrize("smoothing", [None, (0.0, 1e-6), (40.0, 900.0)])
def test_the_loss_is_monais_with_the_smoothing_that_is_asked_for(
    maps: OrganMaps, smoothing: tuple[float, float] | None
) -> None:
    network = small_network()
    tuned = learner(network, **({} if smoothing is None else {"dice_smoothing": smoothing}))
    batches = regions_of(maps, tuned.settings, 1)
    keys = {} if smoothing is None else {"smooth_nr": smoothing[0], "smooth_dr": smoothing[1]}
    monais = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, **keys)
    with torch.no_grad():
        [terms] = tuned.losses(batches, step=1, totals=(), communicator=SingleProcess())
        assert float(terms["loss"]) == float(monais(network(batches[0].voxels), batches[0].classes))
