"""Models, new and trained, as they are loaded for use."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import released
from support.bert import write_bert
from support.released import write_cxr_bert
from support.tiny_data import SENTENCES
from support.trained_run import STEPS, Setting, rows

import simcrop
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.system.files import sha256_of
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.models import begin_model, trained_on
from simcrop.core.data.batch import padded
from simcrop.core.errors import CheckpointError, InputError


def test_a_model_is_loaded_ready_to_use(done: Setting) -> None:
    model = simcrop.load_model(done.out)
    saved = load_file(done.out / "checkpoints" / "step_00000004" / "model.safetensors")
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())
    assert not model.training
    assert model.tokenizer is not None
    words = model.tokenizer.encode(list(SENTENCES[:2]), max_tokens=48)
    assert max(words.sentence_of_token) == 1
    features = model.sentence_features(padded([words], model.tokenizer.pad_id), 2)
    assert features.shape == (1, 2, 16)


def test_an_encoder_is_loaded_and_reads_any_type_and_size(done: Setting) -> None:
    encoder = simcrop.load_encoder(done.out / "checkpoints" / "step_00000004")
    assert (encoder.spacing_mm, encoder.window, encoder.volume_size) == ((2.0,) * 3, (-1000.0, 1000.0), (16, 16, 16))
    volume = torch.randint(0, 200, (2, 1, 16, 16, 16))
    tokens = encoder.encode(volume)
    assert tokens.shape == (2, 65, 24)
    for dtype in (torch.uint8, torch.int16, torch.float64):
        torch.testing.assert_close(encoder.encode(volume.to(dtype)), tokens)
    assert torch.equal(tokens, simcrop.load_model(done.out).encoder.encode(volume))
    assert encoder.encode(volume[..., :8]).shape == (2, 33, 24)
    torch.testing.assert_close(encoder.norm(encoder.encode(volume, normalized=False)), tokens)
    with pytest.raises(InputError):
        encoder.encode(volume[..., :7])


def test_an_encoder_refuses_what_it_cannot_read_right(done: Setting) -> None:
    encoder, volume = simcrop.load_encoder(done.out), torch.zeros(1, 1, 16, 16, 16)
    assert torch.equal(encoder.encode(volume, spacing_mm=(2.0, 2.01, 1.99)), encoder.encode(volume))
    with pytest.raises(InputError, match=r"its voxels are 2 x 2 x 3 mm, and the model's 2 x 2 x 2 mm; encode takes"):
        encoder.encode(volume, spacing_mm=(2.0, 2.0, 3.0))
    with pytest.raises(InputError, match=r"has the shape \[16, 16, 16\].*simcrop.read_for"):
        encoder.encode(volume[0, 0])
    with pytest.raises(InputError, match=r"has the shape \[1, 2, 16, 16, 16\]"):
        encoder.encode(volume.expand(1, 2, 16, 16, 16))
    with pytest.raises(InputError, match="volume: is a str"):
        encoder.encode("scan.nii.gz")


def test_a_damaged_checkpoint_is_not_loaded(done: Setting, tmp_path: Path) -> None:
    folder = tmp_path / "step_00000004"
    shutil.copytree(done.out / "checkpoints" / "step_00000004", folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    for load in (simcrop.load_model, simcrop.load_encoder):
        with pytest.raises(CheckpointError, match="damaged"):
            load(folder)


def test_a_frozen_text_encoder_is_recorded_and_checked_but_not_copied(done: Setting, tmp_path: Path) -> None:
    bert, out = tmp_path / "bert", tmp_path / "run"
    write_bert(bert, seed=0)
    done.train(out, f"text_encoder.source={bert}", "train.steps=2")
    folder = out / "checkpoints" / "step_00000002"
    assert not [name for name in load_file(folder / "model.safetensors") if name.startswith("text_encoder.")]
    record = json.loads((folder / "manifest.json").read_text())["text_encoder"]
    assert (record["source"], record["revision"], len(record["sha256"])) == (str(bert), None, 64)
    model = compose.load_model(out)
    assert model.text_encoder is not None
    assert record["sha256"] == weights_sha256(model.text_encoder)
    write_bert(bert, seed=1)
    with pytest.raises(CheckpointError, match=r"^text_encoder.source: .*bert has weights of sha256 .*; provide those"):
        compose.load_model(out)


def test_a_text_encoder_that_was_trained_on_is_stored(done: Setting, tmp_path: Path) -> None:
    bert, out = tmp_path / "bert", tmp_path / "run"
    write_bert(bert, seed=0)
    done.train(out, f"text_encoder.source={bert}", "text_encoder.frozen=false", "train.steps=2")
    shutil.rmtree(bert)
    model = compose.load_model(out)
    saved = load_file(out / "checkpoints" / "step_00000002" / "model.safetensors")
    assert any(name.startswith("text_encoder.") for name in saved)
    assert all(torch.equal(saved[name], value) for name, value in model.state_dict().items())


def test_without_reports_and_started_from_another_run(done: Setting, tmp_path: Path) -> None:
    start, out = tmp_path / "start", tmp_path / "run"
    shutil.copytree(done.out, start)
    off = [f"objectives.{term}.weight=0" for term in ("report", "alignment", "late_interaction")]
    config = load_config(done.yaml, [*STEPS, *off, f"model.init={start}"])
    untrained, _ = compose.build_model(config, reports=lambda: list(SENTENCES))
    trained = compose.load_encoder(start).state_dict()
    assert all(torch.equal(trained[name], value) for name, value in untrained.encoder.state_dict().items())
    done.train(out, *off, f"model.init={start}", "train.steps=2")
    shutil.rmtree(start)
    model = compose.load_model(out)
    assert model.text_encoder is None
    assert [key for key in rows(out)[0] if key.startswith("loss")] == ["loss", "loss_reconstruction"]


def test_a_run_remembers_what_it_took_from_a_file(done: Setting, tmp_path: Path) -> None:
    recipe = load_config(done.yaml).model
    torch.save(released.mae_whole(recipe), tmp_path / "mae.pth")
    options = [f"model.init={tmp_path / 'mae.pth'}", "model.init_patches=inflated", "train.steps=2"]
    done.train(tmp_path / "run", *options)
    manifest = json.loads((tmp_path / "run/checkpoints/step_00000002/manifest.json").read_text())
    begun = manifest["model_init"]
    assert (begun["file"], begun["sha256"]) == ("mae.pth", sha256_of(tmp_path / "mae.pth"))
    assert (begun["loaded"], begun["inflated"]) == (17, ["patch_embed.proj.weight", "patch_embed.proj.bias"])
    assert {"decoder", "text_encoder", "text_decoder", "local"} <= set(begun["random"])
    assert sum(len(names) for names in begun["left_out"].values()) == 7
    # Of a loaded text encoder nothing is random.
    write_cxr_bert(tmp_path / "bert")
    config = load_config(done.yaml, [*options[:1], f"text_encoder.source={tmp_path / 'bert'}"])
    _, _, start = begin_model(config)
    assert start is not None
    assert "text_encoder" not in start.random
    assert json.loads((done.out / "checkpoints/step_00000004/manifest.json").read_text())["model_init"] is None


def test_what_a_model_was_trained_on_is_said(done: Setting, tmp_path: Path) -> None:
    assert trained_on(done.out) == "how well the model does that, simcrop eval grounding measures"
    shutil.copytree(done.out, tmp_path / "run")
    config = tmp_path / "run/checkpoints/step_00000004/config.json"
    tree = json.loads(config.read_text())
    tree["data"] |= {"source": "phantom", "manifest": None}
    config.write_text(json.dumps(tree))
    manifest = config.with_name("manifest.json")
    about = json.loads(manifest.read_text())
    about["files"]["config.json"] = sha256_of(config)
    manifest.write_text(json.dumps(about))
    assert trained_on(tmp_path / "run") == "the model was trained on phantoms alone and has seen no patient"
