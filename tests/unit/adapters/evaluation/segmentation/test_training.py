"""When fine-tuning is over, and which step's weights are kept. That a resumed one is the same: tests/e2e."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

pytest.importorskip("monai", reason="MONAI is not installed")

from support.organ_data import CLASSES, RAS, write_msd

from simcrop.adapters.evaluation.segmentation.crops import CropBatches
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps
from simcrop.adapters.evaluation.segmentation.training import FineTuner, FineTuning
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.settings import SegmentSettings
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.reference import REFERENCE

SETTINGS = SegmentSettings(steps=100, patience=2)
ROI = (8, 8, 4)


class OneWeight(nn.Module):
    """A network whose weight is the number of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))


def after(*scores: float) -> FineTuning:
    reached, network = FineTuning(), OneWeight()
    for step, score in enumerate(scores, 1):
        reached.step = step
        with torch.no_grad():
            network.weight.fill_(step)
        reached.add_score(score, cast(UNETR, network))
    return reached


@pytest.mark.parametrize(
    ("scores", "best", "is_over"),
    [
        ((), None, False),
        ((0.3,), 1, False),
        ((0.3, 0.2), 1, False),
        ((0.3, 0.2, 0.1), 1, True),
        ((0.3, 0.2, 0.4), 3, False),
        ((0.3, 0.3, 0.3), 1, True),
        ((math.nan, 0.0), 2, False),
        ((0.2, math.nan, 0.3, 0.1), 3, False),
        ((math.nan, math.nan, math.nan), 1, True),
    ],
)
def test_the_first_best_step_is_kept_and_patience_ends(
    scores: tuple[float, ...], best: int | None, is_over: bool
) -> None:
    reached = after(*scores)
    assert reached.is_over(SETTINGS) is is_over
    if best is not None:
        assert reached.best_step == best
        assert reached.best["weight"].item() == best


def test_the_last_step_ends_it() -> None:
    reached = after(0.1)
    reached.step = 100
    assert reached.is_over(SETTINGS)


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> OrganMaps:
    folder = tmp_path_factory.mktemp("training")
    write_msd(folder / "msd", [RAS, RAS])
    return OrganMaps(BTCVSource(folder / "msd"), CLASSES[1:], (3.0, 3.0, 5.0), folder / "cache")


def small_network() -> UNETR:
    torch.manual_seed(0)
    recipe = ModelRecipe(volume_size=ROI, patch_size=(4, 4, 2), embed_dim=12, depth=1, num_heads=2)
    return UNETR(VisionEncoder(recipe, REFERENCE), num_classes=3, roi_size=ROI, feature_size=2)


def tuner(maps: OrganMaps, out: Path, network: UNETR, scores: Sequence[float], **changes: Any) -> FineTuner:
    """One that is measured after every step, with the scores given."""
    settings = SegmentSettings(
        **{"steps": len(scores), "evaluate_every": 1, "crops_per_volume": 1, "lr": 0.01, **changes}
    )
    crops = CropBatches(maps, list(maps.source.studies()), settings, ROI, seed=0)
    given = iter(scores)
    train = TrainRecipe()
    return FineTuner(network, crops, lambda: next(given), settings=settings, train=train, out=out, fixed={})


def test_a_best_step_before_a_stop_is_still_the_best_after_it(maps: OrganMaps, tmp_path: Path) -> None:
    assert tuner(maps, tmp_path, small_network(), [0.2, 0.9, 0.3, 0.1]).run(count_to(3)) is None
    reached = tuner(maps, tmp_path, small_network(), [0.5, 0, 0, 0], patience=3).run(lambda: False)
    assert reached is not None
    assert reached.scores == [(1, 0.2), (2, 0.9), (3, 0.3), (4, 0.5)]
    assert reached.best_step == 2
    calm = tuner(maps, tmp_path / "calm", small_network(), [0.2, 0.9, 0.3, 0.5]).run(lambda: False)
    assert calm is not None
    assert all(torch.equal(reached.best[name], weight) for name, weight in calm.best.items())


def test_patience_ends_training_early(maps: OrganMaps, tmp_path: Path) -> None:
    reached = tuner(maps, tmp_path, small_network(), [0.5, 0.4, 0.3, 0.9], patience=2).run(lambda: False)
    assert reached is not None
    assert (reached.step, reached.best_step) == (3, 1)


def test_the_encoder_has_a_rate_of_its_own_and_vectors_do_not_decay(maps: OrganMaps, tmp_path: Path) -> None:
    network = small_network()
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    rates = {"lr": 1e-2, "encoder_lr": 1e-5, "weight_decay": 50.0, "warmup_steps": 0}
    tuner(maps, tmp_path, network, [0.1, 0.1], **rates).run(count_to(1))
    moved = {name: float((weight - before[name]).detach().abs().max()) for name, weight in network.named_parameters()}
    assert moved["encoder.cls_token"] == 0
    assert 0 < moved["encoder.blocks.0.mlp.fc1.bias"] <= 1.1e-5
    assert 0 < moved["out.conv.conv.bias"] <= 1.1e-2
    matrix = "encoder3.transp_conv_init.conv.weight"
    assert float((network.get_parameter(matrix) / before[matrix]).detach().median()) == pytest.approx(0.5, abs=0.1)


def test_a_step_that_is_not_finite_names_its_studies_and_changes_nothing(maps: OrganMaps, tmp_path: Path) -> None:
    network = small_network()
    with torch.no_grad():
        network.out.conv.conv.bias.fill_(torch.nan)
    before = network.encoder.blocks[0].mlp.fc1.weight.clone()
    with pytest.raises(NonFiniteError, match=r"^step 1: loss nan, gradient nan on imagesTr/case\d.nii.gz; lower"):
        tuner(maps, tmp_path, network, [0.1]).run(lambda: False)
    assert torch.equal(network.encoder.blocks[0].mlp.fc1.weight, before)


def count_to(calls: int) -> Callable[[], bool]:
    """True from that call on."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= calls
