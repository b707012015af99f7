"""Weights to start a vision encoder from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import MODEL
from torch import Tensor

from simcrop.adapters.encoder_weights import encoder_weights, start_from
from simcrop.core.encoder import VisionEncoder
from simcrop.core.errors import ConfigError
from simcrop.core.reference import REFERENCE


def make_encoder(seed: int = 0, **changes: object) -> VisionEncoder:
    torch.manual_seed(seed)
    return VisionEncoder(replace(MODEL, **changes), REFERENCE)


def test_the_encoders_part_loses_its_prefix() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    assert encoder_weights({"encoder.norm.bias": one, "text_encoder.encoder.bias": two}) == {"norm.bias": one}


@pytest.mark.parametrize("form", ["weights.safetensors", "plain.pt", "published.pth"])
def test_every_form_of_file_gives_the_same_encoder(tmp_path: Path, form: str) -> None:
    path, source, target = tmp_path / form, make_encoder(1), make_encoder(2)
    weights = dict(source.state_dict())
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save({"model": weights} if path.suffix == ".pth" else weights, path)
    start_from(target, path)
    for name, value in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], value), name


def test_a_2d_model_gives_blocks_and_norm_and_the_position_table_stays(tmp_path: Path) -> None:
    source, target = make_encoder(1), make_encoder(2)
    weights = dict(source.state_dict())
    weights["patch_embed.proj.weight"] = torch.zeros(MODEL.embed_dim, 3, 16, 16)
    weights["pos_embed"] = torch.full_like(weights["pos_embed"], 7.0)
    weights["decoder_pred.weight"] = torch.zeros(1)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    save_file(weights, tmp_path / "mae.safetensors")
    start_from(target, tmp_path / "mae.safetensors")
    after = target.state_dict()
    for name in ("patch_embed.proj.weight", "pos_embed"):
        assert torch.equal(after[name], before[name])
    for name in ("blocks.0.attn.qkv.weight", "norm.weight", "cls_token"):
        assert torch.equal(after[name], source.state_dict()[name])


def save(weights: dict[str, Tensor], path: Path) -> Path:
    save_file(weights, path)
    return path


def test_an_encoder_of_other_size_is_refused(tmp_path: Path) -> None:
    path = save(dict(make_encoder().state_dict()), tmp_path / "small.safetensors")
    with pytest.raises(ConfigError, match=r"model.init: .*norm1.weight is \(12,\), the model needs \(24,\)"):
        start_from(make_encoder(embed_dim=24), path)
    with pytest.raises(ConfigError, match=r"model.init: .*blocks.1.* is absent, the model needs .*model.depth"):
        start_from(make_encoder(depth=2), path)


def test_files_that_hold_no_tensors_are_refused_unrun(tmp_path: Path) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    (tmp_path / "text.pt").write_text("not a model")
    torch.save({"model": Path("an object")}, tmp_path / "object.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    for name in ("broken.safetensors", "text.pt", "object.pt", "absent.pt"):
        with pytest.raises(ConfigError, match=rf"model.init: .*{name} cannot be read"):
            start_from(make_encoder(), tmp_path / name)
    with pytest.raises(ConfigError, match=r"model.init: .*list.pt does not fit"):
        start_from(make_encoder(), tmp_path / "list.pt")
