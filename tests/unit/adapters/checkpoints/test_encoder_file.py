"""Weights of a vision encoder, in every kind of file and folder."""

import os
import zipfile
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.bounded import bounded, bounded_memory
from support.tiny import MODEL

from simcrop.adapters.checkpoints.encoder_file import (
    encoder_weights,
    open_weights,
    read_encoder_file,
)
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.reference import REFERENCE


def make_encoder(seed: int = 0, **changes: object) -> VisionEncoder:
    torch.manual_seed(seed)
    return VisionEncoder(replace(MODEL, **changes), REFERENCE)


def test_the_encoders_part_loses_its_prefix() -> None:
    one, two = torch.ones(1), torch.zeros(1)
    assert encoder_weights({"encoder.norm.bias": one, "text_encoder.encoder.bias": two}) == {"norm.bias": one}


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
    assert set(found.tensors) == set(tree["model"])


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
    with pytest.raises(
        CheckpointError, match=r"bad.pth: cannot be read \(its pickle asks for posix.system, which was not run"
    ):
        read_encoder_file(tmp_path / "bad.pth")
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
    assert opened.contents()[0].keys() == make_encoder().state_dict().keys()
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


def packed(path: Path, name: str, content: bytes) -> None:
    """Write a torch file again, with a compressed part."""
    with zipfile.ZipFile(path) as file:
        parts = {part: file.read(part) for part in file.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for part, data in parts.items():
            file.writestr(part, content if part.endswith(name) else data)


def test_parts_that_unpack_to_more_than_their_file_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"model": {"norm.weight": torch.ones(4)}}, path)
    packed(path, "data/0", bytes(100_000_000))
    with (
        bounded_memory(50_000_000),
        pytest.raises(CheckpointError, match=r"its parts are to have 100,000,\d\d\d bytes"),
    ):
        read_encoder_file(path)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(1).expand(1 << 20, 1 << 20),
        torch.eye(3).to_sparse(),
        torch.empty(1 << 20, 1 << 20, device="meta"),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    ],
    ids=["expanded", "sparse", "meta", "quantized"],
)
def test_tensors_whose_numbers_are_not_there_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    torch.save({"model": {"pos_embed": tensor}}, tmp_path / "a.pth")
    with pytest.raises(
        CheckpointError, match=r"a.pth: (pos_embed of the shape \(.*\) has fewer numbers|cannot be read)"
    ):
        read_encoder_file(tmp_path / "a.pth")


def test_what_stands_beside_the_tensors_may_be_anything(tmp_path: Path) -> None:
    torch.save({"model": {"norm.weight": torch.ones(4)}, "simcrop": {"model": [1], "step": "a"}}, tmp_path / "a.pth")
    found = read_encoder_file(tmp_path / "a.pth")
    assert (found.model, found.step) == (None, None)
    torch.save({"model": {"norm\n.weight": torch.ones(4)}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=r"a.pth: damaged \(a tensor is called 'norm"):
        read_encoder_file(tmp_path / "a.pth")
    os.mkfifo(tmp_path / "pipe.pth")
    with bounded(30), pytest.raises(CheckpointError, match=r"pipe.pth: cannot be read \(no regular file"):
        read_encoder_file(tmp_path / "pipe.pth")
