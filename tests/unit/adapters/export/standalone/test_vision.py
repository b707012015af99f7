"""The encoder that exports carry computes what the core's computes."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.small_models import MODEL

from simcrop.adapters.export.encoder_sizes import encoder_sizes
from simcrop.adapters.export.standalone.vision import VisionEncoder
from simcrop.core.model.encoder import VisionEncoder as OurEncoder
from simcrop.core.reference import REFERENCE


def pair(**changes: Any) -> tuple[OurEncoder, VisionEncoder]:
    """The core's encoder, whose every tensor matters, and the carried one with its weights."""
    torch.manual_seed(3)
    ours = OurEncoder(replace(MODEL, **changes), REFERENCE).eval()
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    theirs = VisionEncoder(**encoder_sizes(ours.recipe)).eval()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"position_embedding": "sincos_hw"},
        {"windows": ((-1000.0, 1000.0), (-150.0, 250.0)), "window": (-900.0, 300.0)},
        {"window": (-500.0, 300.0), "embed_dim": 15, "num_heads": 5, "mlp_ratio": 2.5},
    ],
    ids=str,
)
@torch.no_grad()
def test_the_tokens_are_the_same(changes: dict[str, Any]) -> None:
    ours, theirs = pair(**changes)
    for size in (MODEL.volume_size, (12, 6, 4)):
        hu = torch.randint(-1200, 1500, (2, 1, *size), dtype=torch.int16)
        for volume in (hu, hu.float()):
            for normalized in (True, False):
                expected = ours.encode(hu, normalized=normalized)
                found = theirs.encode(volume, normalized=normalized)
                torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert torch.equal(theirs(hu), theirs.encode(hu))


@torch.no_grad()
def test_a_table_of_positions_that_was_loaded_stays() -> None:
    ours, theirs = pair()
    table = torch.randn_like(ours.pos_embed)
    for encoder in (ours, theirs):
        encoder.pos_embed.copy_(table)
    hu = torch.randint(-1200, 1500, (1, 1, *MODEL.volume_size), dtype=torch.int16)
    torch.testing.assert_close(theirs(hu), ours(hu), rtol=0, atol=1e-6)


@torch.no_grad()
def test_half_precision_reads_hu_before_it_rounds() -> None:
    _, theirs = pair()
    hu = torch.randint(-1200, 1500, (1, 1, *MODEL.volume_size), dtype=torch.int16)
    single = theirs(hu)
    assert (theirs.bfloat16()(hu.float()) - single).norm() < 0.02 * single.norm()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8, 9, 10), r"expected \[B, 1, H, W, D\] in HU, got the shape \[8, 9, 10\]"),
        ((1, 2, 8, 9, 10), r"got the shape \[1, 2, 8, 9, 10\]"),
        ((1, 1, 8, 9, 11), r"\[8, 9, 11\] voxels are not divisible by patches of \[4, 3, 2\]"),
    ],
)
def test_other_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pair()[1](torch.zeros(shape))
