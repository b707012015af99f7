"""The files of a MONAI bundle; tests/e2e/test_export_carried.py runs one."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from support.small_models import MODEL

from simcrop.adapters.export.monai_bundle import write_bundle
from simcrop.adapters.export.standalone.vision import VisionEncoder as Network
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.reference import REFERENCE

RECIPE = replace(MODEL, windows=((-1000.0, 1000.0), (-150.0, 250.0)))


def test_the_weights_are_tensors_alone_and_the_configurations_speak_of_them(tmp_path: Path) -> None:
    encoder = VisionEncoder(RECIPE, REFERENCE)
    write_bundle(tmp_path, encoder, (10, 11, 12), "chest", "cc-by-4.0")
    weights = torch.load(tmp_path / "models" / "model.pt", weights_only=True)
    assert weights.keys() == encoder.state_dict().keys()
    assert all(torch.equal(value, encoder.state_dict()[name]) for name, value in weights.items())
    inference = json.loads((tmp_path / "configs" / "inference.json").read_text())
    assert inference["network_def"]["windows"] == [[-1000.0, 1000.0], [-150.0, 250.0]]
    assert inference["preprocessing"]["grid_size"] == [10, 11, 12]


def test_the_metadata_tell_what_the_network_takes_and_gives(tmp_path: Path) -> None:
    write_bundle(tmp_path, VisionEncoder(RECIPE, REFERENCE), (10, 11, 12), "chest", "cc-by-4.0")
    metadata = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    assert (metadata["name"], metadata["copyright"]) == ("chest", "Weights: cc-by-4.0. Code: Apache License 2.0")
    sizes = json.loads((tmp_path / "configs" / "inference.json").read_text())["network_def"]
    assert sizes.pop("_target_") == "scripts.vision.VisionEncoder"
    image, told = (
        metadata["network_data_format"][side][name] for side, name in (("inputs", "image"), ("outputs", "pred"))
    )
    # What MONAI's own check of a bundle, verify_net_in_out, asks.
    found = Network(**sizes)(torch.zeros(1, image["num_channels"], *image["spatial_shape"]))
    assert found.shape == (1, told["num_channels"], *told["spatial_shape"])
    assert str(found.dtype) == f"torch.{told['dtype']}"
