"""The UNETR: any patch and depth, skips from the blocks that the paper names, voxels where they belong."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.evaluation.segmentation.unetr import UNETR, skip_depths
from simcrop.core.errors import InputError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.positions import position_table
from simcrop.core.recipe import ModelRecipe, Size
from simcrop.core.reference import REFERENCE


def build(patch: Size = (4, 4, 2), roi: Size = (16, 12, 8), depth: int = 4, **recipe: Any) -> UNETR:
    torch.manual_seed(0)
    sizes = ModelRecipe(volume_size=(patch[0] * 2, patch[1] * 2, patch[2] * 2), patch_size=patch, depth=depth, **recipe)
    small = ModelRecipe(**{**vars(sizes), "embed_dim": 12, "num_heads": 2})
    return UNETR(VisionEncoder(small, REFERENCE), num_classes=3, roi_size=roi, feature_size=2)


def volume_of(roi: Size, seed: int = 0) -> Tensor:
    return torch.randint(-1000, 1000, (1, 1, *roi), generator=torch.Generator().manual_seed(seed)).short()


def inputs_of(network: UNETR, names: list[str], volume: Tensor) -> dict[str, Tensor]:
    """What reaches some parts in a forward pass."""
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda part, inputs: seen.__setitem__(name, inputs[0].detach())

    hooks = [network.get_submodule(name).register_forward_pre_hook(keep(name)) for name in names]
    with torch.no_grad():
        network(volume)
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("depth", "blocks"), [(12, (4, 7, 10)), (24, (7, 13, 19)), (8, (3, 5, 7)), (4, (2, 3, 4)), (1, (1, 1, 1))]
)
def test_skips_leave_the_encoder_evenly(depth: int, blocks: tuple[int, int, int]) -> None:
    assert skip_depths(depth) == blocks


@pytest.mark.parametrize("depth", range(1, 30))
def test_skips_are_blocks_of_the_encoder_in_order(depth: int) -> None:
    blocks = skip_depths(depth)
    assert list(blocks) == sorted(blocks)
    assert 1 <= blocks[0] <= blocks[2] <= depth


@pytest.mark.parametrize(
    ("patch", "roi", "depth"),
    [
        ((16, 16, 8), (32, 32, 16), 12),
        ((12, 12, 6), (24, 36, 12), 4),
        ((4, 4, 4), (8, 12, 16), 1),
        ((5, 3, 2), (10, 9, 8), 2),
        ((1, 2, 3), (2, 4, 6), 3),
    ],
)
def test_scores_have_the_size_of_the_region(patch: Size, roi: Size, depth: int) -> None:
    network = build(patch, roi, depth)
    scores = network(volume_of(roi))
    assert scores.shape == (1, 3, *roi)
    scores.square().mean().backward()
    without = {name for name, weight in network.named_parameters() if weight.grad is None}
    assert without == {"encoder.cls_token", "encoder.norm.weight", "encoder.norm.bias"}


def test_the_paper_grid_is_doubled_three_times_on_every_axis() -> None:
    network = build((16, 16, 8), (96, 96, 48), depth=1)
    seen = inputs_of(network, ["encoder2", "decoder4", "decoder3", "decoder2"], volume_of((96, 96, 48)))
    sizes = {name: tuple(value.shape[2:]) for name, value in seen.items()}
    assert sizes == {"encoder2": (6, 6, 6), "decoder4": (12,) * 3, "decoder3": (24,) * 3, "decoder2": (48,) * 3}


@pytest.mark.parametrize("depth", [3, 12])
def test_the_skips_and_the_last_tokens_come_from_the_blocks_named(depth: int) -> None:
    network = build(depth=depth)
    after: list[Tensor] = []
    for block in network.encoder.blocks:
        block.register_forward_hook(lambda part, inputs, output: after.append(output.detach()))
    seen = inputs_of(network, ["encoder2", "encoder3", "encoder4", "decoder5", "norm"], volume_of((16, 12, 8)))
    assert len(after) == depth
    for name, number in zip(("encoder2", "encoder3", "encoder4"), skip_depths(depth), strict=True):
        torch.testing.assert_close(seen[name].flatten(2).transpose(1, 2), after[number - 1], rtol=0, atol=0)
    torch.testing.assert_close(seen["norm"], after[-1], rtol=0, atol=0)
    fresh = nn.LayerNorm(12, eps=1e-6)
    torch.testing.assert_close(seen["decoder5"].flatten(2).transpose(1, 2), fresh(after[-1]))


@pytest.mark.parametrize("kind", ["sincos3d", "sincos_hw"])
def test_blocks_see_the_patches_alone_with_the_positions_of_the_region(kind: Any) -> None:
    network = build(position_embedding=kind)
    with torch.no_grad():
        network.encoder.cls_token.fill_(1e6)
    first = inputs_of(network, ["encoder.blocks.0"], volume_of((16, 12, 8)))["encoder.blocks.0"]
    table = position_table(kind, (4, 3, 4), 12)[:, 1:]
    assert first.shape == table.shape
    encoder = network.encoder
    patches = encoder.patch_embed(volume_of((16, 12, 8)), torch.zeros(48, 12), None)
    torch.testing.assert_close(first, patches + table)


def test_a_patch_lies_in_the_grid_where_it_lies_in_the_volume() -> None:
    network = build()
    for block in network.encoder.blocks:
        for part in (block.attn.proj, block.mlp.fc2):
            nn.init.zeros_(part.weight)
    plain = volume_of((16, 12, 8))
    changed = plain.clone()
    changed[..., 4:8, 8:12, 2:4] += 500
    grids = [inputs_of(network, ["encoder4"], each)["encoder4"] for each in (plain, changed)]
    places = (grids[0] != grids[1]).any(1)[0].nonzero().tolist()
    assert places == [[1, 2, 1]]


def test_the_window_of_the_model_is_applied_on_both_ways_in() -> None:
    network = build(window=(-200.0, 300.0))
    volume = volume_of((16, 12, 8))
    with torch.no_grad():
        scores = network(volume)
        torch.testing.assert_close(network(volume.clamp(-200, 300)), scores, rtol=0, atol=0)
        torch.testing.assert_close(network(volume.float()), scores, rtol=0, atol=0)
        assert not torch.equal(network(volume.clamp(-100, 300)), scores)


def test_a_region_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"12 voxels on axis 0 are not divisible by patch_size 5"):
        build((5, 4, 2), (12, 12, 8))
