"""Encoders from files of weights alone, such as the authors' simcrop.pth."""

import logging
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import released
from support.tiny import MODEL
from torch import Tensor

from simcrop.adapters.checkpoints.encoder_file import read_encoder_file
from simcrop.adapters.checkpoints.foreign_encoder import PUBLISHED, EncoderFile, recognise_table
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.positions import position_table
from simcrop.core.reference import REFERENCE

RECIPE = replace(
    MODEL, volume_size=(16, 8, 12), patch_size=(4, 4, 2), embed_dim=24, depth=2, position_embedding="sincos_hw"
)
"""A grid of 4 x 2 x 6 patches."""
HEADS = {"num_heads": RECIPE.num_heads}


def make_source(seed: int = 1, **changes: Any) -> VisionEncoder:
    torch.manual_seed(seed)
    return VisionEncoder(replace(RECIPE, **changes), REFERENCE).eval()


def authors_file(path: Path, tensors: dict[str, Tensor], **beside: Any) -> EncoderFile:
    """A checkpoint as their training script leaves it, read back."""
    extra = {"decoder_pred.weight": torch.zeros(3), "text_decoder.bias": torch.zeros(2)}
    tree = {
        "model": tensors | extra,
        "args": Namespace(lr=1e-3),
        "optimizer": {"state": {0: torch.zeros(2)}},
        "epoch": 7,
    }
    torch.save(tree | beside, path)
    return read_encoder_file(path)


def volume(recipe: Any = RECIPE) -> Tensor:
    return torch.randint(-1200, 1500, (2, recipe.in_channels, *recipe.volume_size), dtype=torch.int16)


def test_sizes_follow_from_the_tensors_and_outputs_are_the_sources(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_source()
    with caplog.at_level(logging.INFO):
        encoder = authors_file(tmp_path / "simcrop.pth", dict(source.state_dict())).encoder(REFERENCE, HEADS)
    assert encoder.recipe == replace(
        PUBLISHED,
        **{key: getattr(RECIPE, key) for key in ("volume_size", "patch_size", "embed_dim", "depth", "num_heads")},
    )
    assert (encoder.spacing_mm, encoder.window) == ((1.5, 1.5, 3.0), (-1000.0, 1000.0))
    x = volume()
    torch.testing.assert_close(encoder.eval().encode(x), source.encode(x), rtol=0, atol=1e-6)
    name = f"{tmp_path / 'simcrop.pth'}: left out, "
    assert [record.getMessage() for record in caplog.records if "left out" in record.getMessage()] == [
        name + "decoder of volumes: decoder_pred.weight",
        name + "fusion and decoder of reports: text_decoder.bias",
        name + "state of a training: args, optimizer, epoch",
    ]


def test_unknown_tensors_are_a_warning_with_every_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"novel.{number}" for number in range(30)]
    extra = {name: torch.zeros(1) for name in names}
    authors_file(tmp_path / "a.pth", dict(make_source().state_dict()) | extra).encoder(REFERENCE, HEADS)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [f"{tmp_path / 'a.pth'}: left out, unknown to simcrop: {', '.join(names)}"]


@pytest.mark.parametrize("layout", [released.simcrop, released.asap])
def test_released_layouts_are_encoders(tmp_path: Path, layout: Any) -> None:
    tree = layout(RECIPE)
    torch.save(tree, tmp_path / "a.pth")
    encoder = read_encoder_file(tmp_path / "a.pth").encoder(REFERENCE, HEADS)
    assert encoder.recipe.position_embedding == ("sincos3d" if layout is released.asap else "sincos_hw")
    assert encoder.recipe.volume_size == RECIPE.volume_size
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, tree["model"][name]), name


@pytest.mark.parametrize(("width", "heads"), [(24, 1), (64, 1), (128, 2), (192, 3)])
def test_heads_are_64_channels_each_unless_told(tmp_path: Path, width: int, heads: int) -> None:
    source = make_source(embed_dim=width, num_heads=1, depth=1)
    file = authors_file(tmp_path / "a.pth", dict(source.state_dict()))
    assert file.encoder(REFERENCE).recipe.num_heads == heads
    assert file.encoder(REFERENCE, {"num_heads": 2}).recipe.num_heads == 2


def test_the_published_checkpoint_loads_whole(tmp_path: Path) -> None:
    """All the key names and shapes of the released ViT-B, with a table of sincos_hw; weights are all alike."""
    shapes = {
        "cls_token": (1, 1, 768),
        "patch_embed.proj.weight": (768, 1, 16, 16, 8),
        "patch_embed.proj.bias": (768,),
        "norm.weight": (768,),
        "norm.bias": (768,),
    }
    for block in (f"blocks.{number}" for number in range(12)):
        shapes |= {f"{block}.{norm}.{part}": (768,) for norm in ("norm1", "norm2") for part in ("weight", "bias")}
        for layer, size in {
            "attn.qkv": (2304, 768),
            "attn.proj": (768, 768),
            "mlp.fc1": (3072, 768),
            "mlp.fc2": (768, 3072),
        }.items():
            shapes |= {f"{block}.{layer}.weight": size, f"{block}.{layer}.bias": size[:1]}
    tensors = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    tensors["pos_embed"] = position_table("sincos_hw", (14, 14, 14), 768)
    file = EncoderFile(tmp_path / "simcrop.pth", tensors)
    encoder = file.encoder(REFERENCE)
    assert encoder.recipe == PUBLISHED
    assert (PUBLISHED.volume_size, PUBLISHED.patch_size, PUBLISHED.depth) == ((224, 224, 112), (16, 16, 8), 12)
    assert (PUBLISHED.embed_dim, PUBLISHED.num_heads, PUBLISHED.position_embedding) == (768, 12, "sincos_hw")
    assert set(encoder.state_dict()) == set(tensors)
    assert encoder.blocks[11].mlp.fc1.weight.abs().max() == 0
    del encoder
    # Without its last block it is not a smaller model but a damaged file.
    fewer = {name: value for name, value in tensors.items() if not name.startswith("blocks.11.")}
    with pytest.raises(CheckpointError, match=r"12 of the encoder's 150 tensors .*: blocks.11.norm1.weight is absent"):
        EncoderFile(file.path, fewer).encoder(REFERENCE)


def test_every_lacking_tensor_is_named(tmp_path: Path) -> None:
    tensors = dict(make_source().state_dict())
    del tensors["blocks.1.mlp.fc2.bias"], tensors["cls_token"]
    tensors["blocks.0.attn.qkv.weight"] = torch.zeros(24, 24)
    message = (
        r"3 of the encoder's 30 tensors are absent or do not fit: cls_token is absent, not \(1, 1, 24\); "
        r"blocks.0.attn.qkv.weight is \(24, 24\), not \(72, 24\); blocks.1.mlp.fc2.bias is absent, not \(24,\);"
    )
    with pytest.raises(CheckpointError, match=message):
        authors_file(tmp_path / "a.pth", tensors).encoder(REFERENCE)
    with pytest.raises(CheckpointError, match=r"150 of the encoder's 150 tensors are absent .* and 130 more"):
        EncoderFile(tmp_path / "other.pth", {"fc.weight": torch.zeros(1)}).encoder(REFERENCE)
    flat = dict(make_source().state_dict()) | {"patch_embed.proj.weight": torch.zeros(24, 3, 16, 16)}
    with pytest.raises(
        CheckpointError, match=r"patch_embed.proj.weight is \(24, 3, 16, 16\), not \(24, 1, 16, 16, 8\)"
    ):
        EncoderFile(tmp_path / "mae.pth", flat).encoder(REFERENCE)


@pytest.mark.parametrize("kind", ["sincos_hw", "sincos3d"])
def test_a_table_of_another_grid_is_made_anew(tmp_path: Path, kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    source = make_source(position_embedding=kind)
    file = authors_file(tmp_path / "a.pth", dict(source.state_dict()))
    with caplog.at_level(logging.INFO):
        encoder = file.encoder(REFERENCE, HEADS | {"volume_size": (8, 8, 8)}).eval()
    assert f"position table made anew, {kind} for a grid of (2, 2, 4)" in caplog.text
    assert torch.equal(encoder.pos_embed, position_table(kind, (2, 2, 4), 24))
    x = volume()[..., :8, :8, :8]
    torch.testing.assert_close(encoder.encode(x), source.encode(x), rtol=0, atol=1e-6)


def test_as_many_patches_in_another_grid_are_seen(tmp_path: Path) -> None:
    file = authors_file(tmp_path / "a.pth", dict(make_source().state_dict()))
    encoder = file.encoder(REFERENCE, {"volume_size": (8, 16, 12)})
    assert torch.equal(encoder.pos_embed, position_table("sincos_hw", (2, 4, 6), 24))


def test_a_published_file_with_a_small_table_keeps_the_published_grid(tmp_path: Path) -> None:
    shapes = {"norm.weight": (768,), "patch_embed.proj.weight": (768, 1, 16, 16, 8), "pos_embed": (1, 217, 768)}
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    with pytest.raises(CheckpointError, match="147 of the encoder's 150 tensors") as error:
        EncoderFile(tmp_path / "a.pth", tensors).encoder(REFERENCE)
    assert "pos_embed" not in str(error.value)


def test_an_unknown_table_is_kept_with_a_warning_or_its_grid_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = make_source(volume_size=(8, 8, 4))
    tensors = dict(source.state_dict()) | {"pos_embed": torch.rand(1, 9, 24)}
    file = authors_file(tmp_path / "a.pth", tensors)
    encoder = file.encoder(REFERENCE, HEADS)
    assert encoder.volume_size == (8, 8, 4)
    assert torch.equal(encoder.pos_embed, tensors["pos_embed"])
    assert "its position table is kept as it is, though neither sincos_hw nor sincos3d" in caplog.text
    file = authors_file(tmp_path / "a.pth", tensors | {"pos_embed": torch.rand(1, 7, 24)})
    with pytest.raises(
        CheckpointError, match=r"pos_embed is for 6 patches, .* give it, as in load_encoder\(path, model="
    ):
        file.encoder(REFERENCE)
    assert file.encoder(REFERENCE, {"volume_size": (8, 8, 4)}).pos_embed.shape == (1, 9, 24)


def test_windows_do_not_stand_in_a_file(tmp_path: Path) -> None:
    windows = ((-1000.0, 1000.0), (-150.0, 250.0))
    source = make_source(windows=windows)
    file = authors_file(tmp_path / "a.pth", dict(source.state_dict()))
    encoder = file.encoder(REFERENCE, HEADS | {"windows": windows})
    assert (encoder.recipe.in_channels, encoder.recipe.input_windows) == (1, windows)
    x = volume()
    torch.testing.assert_close(encoder.eval().encode(x), source.encode(x), rtol=0, atol=1e-6)
    with pytest.raises(
        CheckpointError, match=r"proj.weight is \(24, 2, .* not \(24, 3, .* with model.windows as it was"
    ):
        file.encoder(REFERENCE, HEADS | {"windows": (*windows, (0.0, 1.0))})


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"num_haeds": 2}, r"a.pth: model.num_haeds: unknown key; did you mean num_heads"),
        ({"num_heads": 5}, r"a.pth: model.embed_dim: 24 is not divisible by num_heads 5"),
        ({"volume_size": (9, 8, 8)}, r"a.pth: model.volume_size: 9 voxels on axis 0 are not divisible"),
        ({"window": "wide"}, r"a.pth: model.window: expected a list"),
    ],
)
def test_a_wrong_key_is_one_line(tmp_path: Path, model: dict[str, Any], message: str) -> None:
    file = authors_file(tmp_path / "a.pth", dict(make_source().state_dict()))
    with pytest.raises(ConfigError, match=message):
        file.encoder(REFERENCE, model)


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(["sincos_hw", "sincos3d"]),
    grid=st.tuples(*[st.integers(1, 6)] * 3),
    width=st.sampled_from([6, 24, 64]),
    half=st.booleans(),
)
def test_every_table_of_ours_is_recognised(kind: Any, grid: tuple[int, int, int], width: int, half: bool) -> None:
    table = position_table(kind, grid, width)
    found = recognise_table(table.half() if half else table)
    assert found is not None
    # Where an axis is one patch long, two descriptions can have the same table.
    torch.testing.assert_close(position_table(found[0], found[1], width), table)  # pyright: ignore[reportArgumentType]


def test_other_tables_are_not_recognised() -> None:
    table = position_table("sincos_hw", (3, 3, 3), 24)
    assert recognise_table(table) == ("sincos_hw", (3, 3, 3))
    table[0, 20, 3] += 0.1
    assert recognise_table(table) is None
    assert recognise_table(torch.randn(1, 28, 24)) is None
    assert recognise_table(torch.zeros(28, 24)) is None
    assert recognise_table(torch.zeros(1, 28, 24, dtype=torch.int64)) is None
