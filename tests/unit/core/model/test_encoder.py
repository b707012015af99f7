"""The vision encoder: names, initial weights, order of tokens, other sizes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from support.small_models import MODEL, make_batch
from support.watching import Watch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.nn.parallel import DistributedDataParallel

from simcrop.core.data.batch import Batch
from simcrop.core.errors import InputError
from simcrop.core.model.decoder import VolumeDecoder
from simcrop.core.model.encoder import Attention, Block, VisionEncoder, compile_blocks, run_blocks
from simcrop.core.model.patches import apply_window
from simcrop.core.model.positions import position_table
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reference import REFERENCE


def make_encoder(recipe: ModelRecipe = MODEL) -> VisionEncoder:
    torch.manual_seed(0)
    return VisionEncoder(recipe, REFERENCE)


def test_state_dict_names_and_shapes_are_timms() -> None:
    shapes = {name: tuple(value.shape) for name, value in make_encoder().state_dict().items()}
    block = {
        "norm1.weight": (12,),
        "norm1.bias": (12,),
        "attn.qkv.weight": (36, 12),
        "attn.qkv.bias": (36,),
        "attn.proj.weight": (12, 12),
        "attn.proj.bias": (12,),
        "norm2.weight": (12,),
        "norm2.bias": (12,),
        "mlp.fc1.weight": (24, 12),
        "mlp.fc1.bias": (24,),
        "mlp.fc2.weight": (12, 24),
        "mlp.fc2.bias": (12,),
    }
    rest = {
        "cls_token": (1, 1, 12),
        "pos_embed": (1, 31, 12),
        "patch_embed.proj.weight": (12, 1, 4, 3, 2),
        "patch_embed.proj.bias": (12,),
        "norm.weight": (12,),
        "norm.bias": (12,),
    }
    assert shapes == rest | {f"blocks.{i}.{name}": shape for i in range(2) for name, shape in block.items()}


def test_initial_weights_are_xavier_uniform_and_biases_zero() -> None:
    encoder = make_encoder(replace(MODEL, embed_dim=96))
    for name, fan_in, fan_out in (
        ("patch_embed.proj", 24, 96),
        ("blocks.0.attn.qkv", 96, 288),
        ("blocks.1.attn.proj", 96, 96),
        ("blocks.1.mlp.fc1", 96, 192),
    ):
        layer = encoder.get_submodule(name)
        weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
        bound = math.sqrt(6 / (fan_in + fan_out))
        assert 0.99 * bound < weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert not bias.any()
    assert encoder.cls_token.std().item() == pytest.approx(0.02, rel=0.3)
    assert encoder.norm.weight.eq(1).all()
    assert encoder.norm.eps == 1e-6


def test_the_table_is_fixed_and_its_class_row_zero() -> None:
    encoder = make_encoder()
    assert "pos_embed" not in dict(encoder.named_parameters())
    assert torch.equal(encoder.pos_embed, position_table("sincos3d", (2, 3, 5), 12))
    assert not encoder.pos_embed[0, 0].any()


def tokens_by_conv(encoder: VisionEncoder, volume: Tensor, table: Tensor) -> Tensor:
    """Class token and every patch, before the blocks, by the Conv3d that the encoder holds."""
    windowed = apply_window(volume, MODEL.window)
    patches = encoder.patch_embed.proj(windowed).flatten(2).transpose(1, 2) + table[:, 1:]
    return torch.cat([encoder.cls_token.expand(len(volume), -1, -1), patches], dim=1)


def test_all_patches_come_in_conv3d_order_after_the_class_token() -> None:
    encoder, volume = make_encoder(), make_batch([1, 1]).volume
    expected = run_blocks(encoder.blocks, tokens_by_conv(encoder, volume, encoder.pos_embed), recompute=False)
    torch.testing.assert_close(encoder.encode(volume, normalized=False), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.encode(volume), encoder.norm(expected), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder(volume), encoder.norm(expected), rtol=1e-4, atol=1e-5)


def test_each_window_is_a_channel_of_the_patch_embedding() -> None:
    windows = ((-1000.0, 1000.0), (-150.0, 250.0))
    encoder, volume = make_encoder(replace(MODEL, windows=windows)), make_batch([1, 1]).volume
    assert encoder.patch_embed.proj.weight.shape == (12, 2, 4, 3, 2)
    assert encoder.window == MODEL.window
    stacked = torch.cat([apply_window(volume, window) for window in windows], 1)
    patches = encoder.patch_embed.proj(stacked).flatten(2).transpose(1, 2) + encoder.pos_embed[:, 1:]
    tokens = torch.cat([encoder.cls_token.expand(2, -1, -1), patches], dim=1)
    expected = encoder.norm(run_blocks(encoder.blocks, tokens, recompute=False))
    torch.testing.assert_close(encoder.encode(volume), expected, rtol=1e-4, atol=1e-5)


def test_only_the_visible_patches_are_read() -> None:
    encoder, batch = make_encoder(), make_batch([1])
    volume, ids = batch.volume, batch.inputs.ids_keep
    rows = torch.cat([torch.zeros(1, 1, dtype=torch.int64), ids + 1], dim=1)
    chosen = tokens_by_conv(encoder, volume, encoder.pos_embed)[:, rows[0]]
    expected = encoder.norm(run_blocks(encoder.blocks, chosen, recompute=False))
    torch.testing.assert_close(encoder.encode(volume, ids), expected, rtol=1e-4, atol=1e-5)


def test_a_block_is_pre_norm_attention_and_mlp() -> None:
    block = make_encoder().blocks[0]
    x = torch.randn(2, 5, 12)
    attention = block.get_submodule("attn")
    assert isinstance(attention, Attention)
    inner = F.layer_norm(x, (12,), eps=1e-6)
    q, k, v = (part.unflatten(2, (3, 4)).transpose(1, 2) for part in attention.qkv(inner).chunk(3, dim=2))
    weights = (q @ k.transpose(2, 3) / math.sqrt(4)).softmax(3)
    middle = x + attention.proj((weights @ v).transpose(1, 2).flatten(2))
    fc1, fc2 = block.get_submodule("mlp.fc1"), block.get_submodule("mlp.fc2")
    expected = middle + fc2(F.gelu(fc1(F.layer_norm(middle, (12,), eps=1e-6))))
    torch.testing.assert_close(block(x), expected)


def test_another_size_gets_its_own_position_table() -> None:
    encoder = make_encoder()
    volume = torch.randint(-1000, 1000, (1, 1, 12, 3, 8), dtype=torch.int16)
    table = position_table("sincos3d", (3, 1, 4), 12)
    expected = run_blocks(encoder.blocks, tokens_by_conv(encoder, volume, table), recompute=False)
    torch.testing.assert_close(encoder.encode(volume, normalized=False), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(InputError, match=r"volume: 10 voxels on axis 0 are not divisible by patch_size 4"):
        encoder.encode(torch.zeros(1, 1, 10, 9, 10))


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.float32, torch.float64])
def test_any_dtype_of_hu_is_read(dtype: torch.dtype) -> None:
    encoder = make_encoder()
    hounsfield = torch.randint(0, 255, (1, 1, 8, 9, 10), dtype=torch.int16)
    assert torch.equal(encoder.encode(hounsfield.to(dtype)), encoder.encode(hounsfield))


def test_recomputed_activations_give_the_same_gradients() -> None:
    encoder, batch = make_encoder(), make_batch([1])
    gradients = []
    for recompute in (False, True):
        encoder.recompute = recompute
        encoder.zero_grad()
        encoder(batch.volume, batch.inputs.ids_keep).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in encoder.named_parameters()})
    for name, gradient in gradients[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_chosen_attention_is_taken_in_the_backward_pass_too(recompute: bool) -> None:
    """Its choice ends with the block; outside it a CPU's own first choice is flash."""
    encoder, batch = make_encoder(), make_batch([1])
    encoder.recompute = recompute
    used = []
    for order in ([], [SDPBackend.MATH]):
        for block in encoder.blocks:
            assert isinstance(block, Block)
            block.attn.order = order
        watch = Watch()
        with watch.watching():
            encoder(batch.volume, batch.inputs.ids_keep).square().sum().backward()
        used.append(watch.launches["_scaled_dot_product_flash_attention_for_cpu"])
    assert used == [len(encoder.blocks) * (1 + recompute), 0]


@pytest.mark.parametrize("recompute", [False, True])
def test_compiled_blocks_are_one_graph_a_kind_and_run_in_training_steps_alone(recompute: bool) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    model = nn.ModuleDict({"encoder": make_encoder(), "decoder": VolumeDecoder(replace(MODEL, decoder_depth=3))})
    names, gradients = list(model.state_dict()), []
    for compiled in (False, True):
        for part in model.children():
            part.recompute = recompute
            if compiled:
                compile_blocks(part.blocks, backend=backend)
        model.train().zero_grad()
        learn(model, make_batch([1, 1, 1]))
        gradients.append([parameter.grad for parameter in model.parameters()])
        evaluate(model, [make_batch([1, 1, 1]), make_batch([1, 1]), make_batch([1])])
        learn(model.train(), make_batch([1, 1, 1]))
    # The encoder's, the decoder's, and the decoder's last, which computes masked patches alone.
    assert len(graphs) == 3
    assert list(model.state_dict()) == names
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_large_block_is_one_graph_on_several_ranks_too() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, inputs: object) -> Callable[..., object]:
        graphs.append(graph)
        return graph.forward

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            # The weights of its MLP alone fill DDP's first bucket, 1 MB.
            self.blocks = nn.ModuleList([Block(320, 4, 4.0)])

        def forward(self, x: Tensor) -> Tensor:
            return run_blocks(self.blocks, x, recompute=False)

    torch.compiler.reset()
    stack = Stack()
    compile_blocks(stack.blocks, backend=backend)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        DistributedDataParallel(stack)(torch.zeros(1, 3, 320)).sum().backward()
    finally:
        dist.destroy_process_group()
    assert len(graphs) == 1


def learn(model: nn.ModuleDict, batch: Batch) -> None:
    """A forward and a backward pass through encoder and decoder."""
    keep, masked = batch.inputs.ids_keep, batch.inputs.ids_masked
    model["decoder"](model["encoder"](batch.volume, keep), keep, masked).square().sum().backward()


def evaluate(model: nn.ModuleDict, batches: Sequence[Batch]) -> None:
    """What a run does between steps: held-out batches, a smaller last one, pictures, features of every patch."""
    with torch.no_grad():
        for mode in (False, True):
            for batch in batches:
                keep, masked = batch.inputs.ids_keep, batch.inputs.ids_masked
                model.train(mode)["decoder"](model["encoder"](batch.volume, keep), keep, masked)
                model["encoder"](batch.volume)
    model.eval()["encoder"](batches[-1].volume).sum().backward()
