"""Released weights to start a vision encoder from: what is taken, what is not, and what is refused."""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support import released
from support.tiny import MODEL
from torch import Tensor

from simcrop.adapters.checkpoints.start import Start, inflate, start_from
from simcrop.core.errors import ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.reference import REFERENCE

RECIPE = replace(MODEL, embed_dim=24, depth=2, num_heads=2)
WINDOWS = ((-1000.0, 1000.0), (-150.0, 250.0))
EMBEDDING = ("patch_embed.proj.weight", "patch_embed.proj.bias")


def make_encoder(seed: int = 0, **changes: Any) -> VisionEncoder:
    torch.manual_seed(seed)
    return VisionEncoder(replace(RECIPE, **changes), REFERENCE)


def save(weights: dict[str, Tensor], path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in weights.items()}, path)
    return path


def saved(tree: dict[str, Any], path: Path) -> Path:
    torch.save(tree, path)
    return path


def begun(encoder: VisionEncoder, tree: dict[str, Any], path: Path) -> Start:
    """Start from a file; every name of it must be accounted for once, and every tensor of the encoder too."""
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    start = start_from(encoder, saved(tree, path))
    beside = [name for name in tree if name != "model"]
    told = [*start.loaded, *(name for group in start.left_out for name in group.names)]
    assert sorted(told) == sorted([*tree["model"], *beside])
    after = encoder.state_dict()
    assert sorted([*start.loaded, *start.random, "pos_embed"]) == sorted(after)
    for name in set(start.loaded) - set(start.inflated):
        assert torch.equal(after[name], tree["model"][name]), name
    for name in (*start.random, "pos_embed"):
        assert torch.equal(after[name], before[name]), name
    return start


def reasons(start: Start) -> dict[str, list[str]]:
    return {group.reason: group.listed for group in start.left_out}


def test_a_2d_masked_autoencoder_gives_blocks_norm_and_class_token(tmp_path: Path) -> None:
    start = begun(make_encoder(), released.mae_encoder(RECIPE), tmp_path / "mae.pth")
    assert start.random == EMBEDDING
    assert len(start.loaded) == 2 * 12 + 3 == start.size - 2
    assert reasons(start) == {
        "position table, not the model's, which is sincos3d for a grid of (2, 2, 2)": ["pos_embed"],
        "2D patch embedding (24, 3, 4, 4) (model.init_patches: inflated takes it)": ["patch_embed (2)"],
    }
    whole = begun(make_encoder(), released.mae_whole(RECIPE), tmp_path / "mae_full.pth")
    parts = ["mask_token", "decoder_pos_embed", "decoder_embed (2)", "decoder_pred (2)", "decoder_blocks (12)"]
    assert reasons(whole) == reasons(start) | {"decoder of volumes": [*parts, "decoder_norm (2)"]}


def test_a_2d_patch_embedding_is_inflated_where_the_key_says_so(tmp_path: Path) -> None:
    tree = released.mae_encoder(RECIPE)
    encoder = make_encoder(init=str(tmp_path / "mae.pth"), init_patches="inflated")
    start = begun(encoder, tree, tmp_path / "mae.pth")
    assert (start.random, start.inflated) == ((), EMBEDDING)
    assert torch.equal(encoder.patch_embed.proj.weight, inflate(tree["model"]["patch_embed.proj.weight"], 1, 4))
    assert torch.equal(encoder.patch_embed.proj.bias, tree["model"]["patch_embed.proj.bias"])  # pyright: ignore[reportArgumentType]


def test_half_precision_is_summed_in_full(tmp_path: Path) -> None:
    tree = released.mae_encoder(RECIPE)
    tree["model"] = {name: value.half() for name, value in tree["model"].items()}
    path = saved(tree, tmp_path / "mae.pth")
    encoder = make_encoder(init=str(path), init_patches="inflated")
    start_from(encoder, path)
    expected = inflate(tree["model"]["patch_embed.proj.weight"].float(), 1, 4)
    assert torch.equal(encoder.patch_embed.proj.weight, expected)
    assert encoder.blocks[0].attn.qkv.weight.dtype == torch.float32


@settings(max_examples=25, deadline=None)
@given(
    colours=st.integers(1, 4),
    channels=st.integers(1, 3),
    sizes=st.tuples(*[st.integers(1, 5)] * 3),
    seed=st.integers(0, 99),
)
def test_an_inflated_embedding_gives_a_stack_of_equal_slices_what_the_2d_one_gives_the_slice(
    colours: int, channels: int, sizes: tuple[int, int, int], seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(6, colours, *sizes[:2], generator=draw, dtype=torch.float64)
    picture = torch.randn(sizes[:2], generator=draw, dtype=torch.float64)
    flat = torch.nn.functional.conv2d(picture.expand(1, colours, -1, -1), weight)
    stack = picture[..., None].expand(1, channels, *sizes)
    solid = torch.nn.functional.conv3d(stack, inflate(weight, channels, sizes[2]))
    torch.testing.assert_close(solid[..., 0], flat)


def test_the_authors_encoder_loads_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = released.simcrop(RECIPE)
    encoder = make_encoder(position_embedding="sincos_hw")
    with caplog.at_level(logging.INFO):
        start = begun(encoder, tree, tmp_path / "simcrop.pth")
    assert (start.random, len(start.loaded)) == ((), len(tree["model"]) - 1)
    assert torch.equal(encoder.pos_embed, tree["model"]["pos_embed"])
    name = f"model.init: {tmp_path / 'simcrop.pth'}: "
    assert [record.getMessage() for record in caplog.records] == [
        name + "loaded 29 of the encoder's 29 tensors: 2 blocks, cls_token, patch_embed.proj.weight, "
        "patch_embed.proj.bias, norm.weight, norm.bias",
        name + "left out, position table, the same as the model's, which is sincos_hw for a grid of (2, 2, 2): "
        "pos_embed",
        name + "at a random start: nothing",
    ]
    other = begun(make_encoder(), tree, tmp_path / "simcrop.pth")
    assert [*reasons(other)] == ["position table, not the model's, which is sincos3d for a grid of (2, 2, 2)"]


def test_the_extensions_checkpoint_loads_whole_and_its_own_parts_are_named(tmp_path: Path) -> None:
    start = begun(make_encoder(), released.asap(RECIPE), tmp_path / "ASAP.pth")
    assert (start.random, len(start.loaded)) == ((), start.size)
    assert reasons(start) == {
        "position table, the same as the model's, which is sincos3d for a grid of (2, 2, 2)": ["pos_embed"],
        "decoder of volumes": [
            *("mask_token", "decoder_pos_embed", "decoder_embed (2)", "decoder_pred_layer (2)", "decoder_blocks (12)"),
            "decoder_norm (2)",
        ],
        "head for shares of organs": ["decoder_injection_pred_layer_0 (2)", "decoder_injection_pred_layer_1 (2)"],
        "head for the number of patches of a sentence": ["regression_head (2)"],
        "fusion and decoder of reports": [
            *("bert_feature_proj (6)", "bert_mlp (2)", "bert_topk_mlp (2)", "bert_decoder (2)"),
        ],
        "comparison of sentences with patches": ["finding_align_img_mlp (6)", "align_text_mlp (6)"],
        "text encoder (text_encoder.source names one)": ["bert_encoder (3)"],
        "state of a training": ["optimizer", "epoch", "scaler", "args"],
    }


def test_the_authors_merged_start_gives_blocks_and_norm_alone(tmp_path: Path) -> None:
    start = begun(make_encoder(), released.merged(RECIPE), tmp_path / "merged.pth")
    assert start.random == ("cls_token", *EMBEDDING)
    assert reasons(start) == {"text encoder (text_encoder.source names one)": ["bert_encoder (3)"]}


def test_what_nobody_knows_is_a_warning_with_every_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tree = released.simcrop(RECIPE)
    names = [*(f"blocks.{number}.ls1.gamma" for number in range(2)), *(f"novel.{number}" for number in range(30))]
    tree["model"] |= {name: torch.zeros(1) for name in names}
    start = begun(make_encoder(), tree | {"note": "plain"}, tmp_path / "a.pth")
    assert reasons(start)["unknown to simcrop"] == [*names, "note"]
    assert start.record()["left_out"]["unknown to simcrop"] == [*names, "note"]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"model.init: {tmp_path / 'a.pth'}: left out, unknown to simcrop: {', '.join([*names, 'note'])}"
    ]


def test_other_parts_of_the_model_are_named_and_the_record_is_plain(tmp_path: Path) -> None:
    path = saved(released.mae_encoder(RECIPE), tmp_path / "mae.pth")
    start = start_from(make_encoder(), path, other_parts=["decoder", "fusion"])
    assert start.random == (*EMBEDDING, "decoder", "fusion")
    record = start.record()
    assert (record["file"], record["loaded"], record["random"]) == ("mae.pth", 27, [*EMBEDDING, "decoder", "fusion"])
    assert len(record["sha256"]) == 64
    assert list(record["left_out"].values()) == [["pos_embed"], ["patch_embed (2)"]]


@pytest.mark.parametrize("form", ["weights.safetensors", "plain.pt", "published.pth"])
def test_every_form_of_file_gives_the_same_encoder(tmp_path: Path, form: str) -> None:
    path, source, target = tmp_path / form, make_encoder(1), make_encoder(2)
    weights = dict(source.state_dict())
    if path.suffix == ".safetensors":
        save(weights, path)
    else:
        torch.save({"model": weights} if path.suffix == ".pth" else weights, path)
    start_from(target, path)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": 48}, r"it is 24 wide, and model.embed_dim is 48; set model.embed_dim to 24"),
        ({"depth": 3}, r"it has 2 blocks, and model.depth is 3; set model.depth to 2"),
        ({"depth": 1}, r"it has 2 blocks, and model.depth is 1; set model.depth to 2"),
        ({"mlp_ratio": 2.0}, r"its MLPs are 4 times as wide as itself, and model.mlp_ratio is 2; set"),
    ],
)
def test_an_encoder_of_other_size_is_refused_with_both_numbers(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for name, layout in (("mae.pth", released.mae_encoder), ("ASAP.pth", released.asap)):
        with pytest.raises(ConfigError, match=rf"^model.init: .*{name} does not fit: {message}[^\n]*$"):
            start_from(make_encoder(**changes), saved(layout(RECIPE), tmp_path / name))


def test_other_heads_are_refused_where_the_file_or_its_size_tells_them(tmp_path: Path) -> None:
    own = released.simcrop(RECIPE) | {"simcrop": {"model": {"num_heads": 4}, "step": 3}}
    with pytest.raises(ConfigError, match=r"it has 4 attention heads, and model.num_heads is 2; set"):
        start_from(make_encoder(), saved(own, tmp_path / "own.pth"))
    small = replace(RECIPE, embed_dim=192, depth=12, num_heads=3)
    path = saved(released.mae_encoder(small), tmp_path / "small.pth")
    message = r"a ViT 192 wide with 12 blocks has 3 attention heads, and model.num_heads is 6; set model.num_heads"
    with pytest.raises(ConfigError, match=message):
        start_from(make_encoder(embed_dim=192, depth=12, num_heads=6), path)
    start_from(make_encoder(embed_dim=192, depth=12, num_heads=3), path)


def test_a_damaged_block_is_named(tmp_path: Path) -> None:
    tree = released.mae_encoder(RECIPE)
    del tree["model"]["blocks.1.mlp.fc2.bias"], tree["model"]["norm.weight"]
    with pytest.raises(ConfigError, match=r"blocks.1.mlp.fc2.bias is absent, not \(24,\); norm.weight is absent"):
        start_from(make_encoder(), saved(tree, tmp_path / "a.pth"))


def test_an_encoder_of_other_windows_is_refused(tmp_path: Path) -> None:
    path = save(dict(make_encoder(1).state_dict()), tmp_path / "one.safetensors")
    with pytest.raises(ConfigError, match=r"weight has 1 channels, the model needs 2; set model.windows"):
        start_from(make_encoder(2, windows=WINDOWS), path)
    source, target = make_encoder(1, windows=WINDOWS), make_encoder(2, windows=WINDOWS)
    start_from(target, save(dict(source.state_dict()), tmp_path / "two.safetensors"))
    assert torch.equal(target.patch_embed.proj.weight, source.patch_embed.proj.weight)


def test_another_patch_leaves_weight_and_bias_at_random(tmp_path: Path) -> None:
    path = tmp_path / "simcrop.pth"
    start = begun(make_encoder(patch_size=(4, 4, 2)), released.simcrop(RECIPE), path)
    assert start.random == EMBEDDING
    assert "patch embedding (24, 1, 4, 4, 4), not (24, 1, 4, 4, 2)" in reasons(start)


def test_a_bias_or_class_token_of_another_shape_is_left_out(tmp_path: Path) -> None:
    tree = released.simcrop(RECIPE)
    tree["model"] |= {"patch_embed.proj.bias": torch.zeros(3), "cls_token": torch.zeros(1, 2, 24)}
    start = begun(make_encoder(), tree, tmp_path / "a.pth")
    assert start.random == ("cls_token", "patch_embed.proj.bias")
    assert sorted(reasons(start)["of another shape"]) == ["cls_token", "patch_embed.proj.bias"]


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        (released.simcrop(RECIPE), r"of the shape \(24, 1, 4, 4, 4\)"),
        (released.mae_encoder(replace(RECIPE, patch_size=(2, 2, 2))), r"of the shape \(24, 3, 2, 2\)"),
        (released.merged(RECIPE), "absent"),
    ],
)
def test_what_cannot_be_inflated_is_refused(tmp_path: Path, tree: dict[str, Any], what: str) -> None:
    path = saved(tree, tmp_path / "a.pth")
    with pytest.raises(
        ConfigError, match=rf"model.init_patches: inflated needs .* of 4 x 4 pixels, .*a.pth is {what}; write fitting"
    ):
        start_from(make_encoder(init=str(path), init_patches="inflated"), path)
    with pytest.raises(ConfigError, match="init_patches: inflated needs the file of a 2D model as init"):
        replace(RECIPE, init_patches="inflated")


def test_files_that_hold_no_vision_transformer_are_refused_unrun(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    (tmp_path / "text.pt").write_text("not a model")
    torch.save({"model": Path("an object")}, tmp_path / "object.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({"state_dict": {"x": torch.zeros(1)}}, tmp_path / "other.pt")
    for name in ("broken.safetensors", "text.pt", "object.pt", "absent.pt"):
        with pytest.raises(ConfigError, match=rf"model.init: .*{name}: cannot be read"):
            start_from(make_encoder(), tmp_path / name)
    for name, held in (("list.pt", "nothing"), ("other.pt", "state_dict")):
        with pytest.raises(
            ConfigError, match=rf"model.init: .*{name} does not fit: no tensor .* it holds {held}; name"
        ):
            start_from(make_encoder(), tmp_path / name)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    path = saved({"model": {"norm.weight": partial(print, "run")}}, tmp_path / "bad.pth")
    with pytest.raises(
        ConfigError, match=r"model.init: .*bad.pth: cannot be read \(its pickle asks for .*partial, which"
    ):
        start_from(make_encoder(), path)
