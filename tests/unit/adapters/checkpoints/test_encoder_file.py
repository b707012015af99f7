"""Weights to start a vision encoder from."""

import os
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.tiny import MODEL
from torch import Tensor

from simcrop.adapters.checkpoints.encoder_file import (
    encoder_weights,
    open_weights,
    read_encoder_file,
    start_from,
)
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
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


def test_an_encoder_of_other_windows_is_refused(tmp_path: Path) -> None:
    windows = ((-1000.0, 1000.0), (-150.0, 250.0))
    path = save(dict(make_encoder(1).state_dict()), tmp_path / "one.safetensors")
    with pytest.raises(ConfigError, match=r"weight has 1 channels, the model needs 2; set model.windows"):
        start_from(make_encoder(2, windows=windows), path)
    source, target = make_encoder(1, windows=windows), make_encoder(2, windows=windows)
    start_from(target, save(dict(source.state_dict()), tmp_path / "two.safetensors"))
    assert torch.equal(target.patch_embed.proj.weight, source.patch_embed.proj.weight)


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


class Pickled:
    """What a malicious file holds: unpickled as usual, it would run a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
def test_arguments_beside_the_weights_are_read_and_named(tmp_path: Path, is_zip: bool) -> None:
    arguments = Namespace(lr=1.5e-4, model="vit", betas=[0.9, 0.95], inner=Namespace(device=torch.device("cpu")))
    tree = {"model": dict(make_encoder(1).state_dict()), "args": arguments, "epoch": 3, "optimizer": {"state": {}}}
    torch.save(tree, tmp_path / "a.pth", _use_new_zipfile_serialization=is_zip)
    found = read_encoder_file(tmp_path / "a.pth")
    assert (found.others, found.model, found.step) == (("args", "epoch", "optimizer"), None, None)
    target = make_encoder(2)
    start_from(target, tmp_path / "a.pth")
    assert torch.equal(target.blocks[0].attn.qkv.weight, tree["model"]["blocks.0.attn.qkv.weight"])


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["beside", "inside the arguments", "among the weights"])
def test_any_other_pickled_code_is_refused_by_name_and_not_run(tmp_path: Path, place: str, is_zip: bool) -> None:
    code = Pickled(f"touch {tmp_path / 'ran'}")
    tree = {
        "beside": {"model": {}, "extra": code},
        "inside the arguments": {"model": {}, "args": Namespace(hook=code)},
        "among the weights": {"model": {"norm.weight": code}},
    }[place]
    torch.save(tree, tmp_path / "bad.pth", _use_new_zipfile_serialization=is_zip)
    for read, error in ((read_encoder_file, CheckpointError), (partial(start_from, make_encoder()), ConfigError)):
        with pytest.raises(
            error, match=r"bad.pth cannot be read \(its pickle asks for posix.system, which was not run"
        ):
            read(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)
    assert (tmp_path / "ran").exists(), "the file of this test does nothing"


def test_namespaces_are_allowed_here_and_nowhere_else(tmp_path: Path) -> None:
    torch.save({"args": Namespace(a=1)}, tmp_path / "a.pth")
    read_encoder_file(tmp_path / "a.pth")
    with pytest.raises(UnpicklingError):
        torch.load(tmp_path / "a.pth", weights_only=True)


def test_a_whole_models_weights_give_their_encoder(tmp_path: Path) -> None:
    weights = {f"encoder.{name}": value for name, value in make_encoder(1).state_dict().items()}
    save_file(
        weights | {"decoder.mask_token": torch.zeros(1), "text_encoder.x": torch.zeros(1)}, tmp_path / "a.safetensors"
    )
    found = read_encoder_file(tmp_path / "a.safetensors")
    assert set(found.tensors) == set(make_encoder().state_dict())
    assert found.others == ("decoder.mask_token", "text_encoder.x")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    keep=st.floats(0, 1),
)
def test_damaged_files_are_one_line_or_a_file(tmp_path: Path, changes: list[tuple[float, int]], keep: float) -> None:
    torch.save({"model": {"norm.weight": torch.ones(4)}, "args": Namespace(a=1)}, tmp_path / "whole.pth")
    data = bytearray((tmp_path / "whole.pth").read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    (tmp_path / "damaged.pth").write_bytes(data[: int(keep * len(data))])
    message = ""
    try:
        read_encoder_file(tmp_path / "damaged.pth")
    except CheckpointError as error:
        message = str(error)
    assert "\n" not in message


def test_what_a_path_can_mean(tmp_path: Path) -> None:
    torch.save({"model": dict(make_encoder().state_dict())}, tmp_path / "simcrop.pth")
    opened = open_weights(tmp_path)
    assert opened.path == tmp_path / "simcrop.pth"
    assert opened.sha256 == sha256_of(tmp_path / "simcrop.pth")
    assert (opened.step, opened.manifest, opened.run_config()) == (None, {}, None)
    assert opened.encoder_weights().keys() == make_encoder().state_dict().keys()
    with pytest.raises(CheckpointError, match=r"^somebody/it: holds a vision encoder alone; do that$"):
        opened.whole("somebody/it", "do that")
    monai = tmp_path / "monai"
    monai.mkdir()
    save_file({"x": torch.zeros(1)}, monai / "monai_vit.safetensors")
    with pytest.raises(
        CheckpointError, match=r"monai: holds weights for MONAI's ViT, without the class token; .*README"
    ):
        open_weights(monai)
    with pytest.raises(CheckpointError, match=r"absent: no such folder"):
        open_weights(tmp_path / "absent")
