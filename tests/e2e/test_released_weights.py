"""Runs that start from files in the layouts of released weights, as a user types them."""

import json
from pathlib import Path

import pytest
import torch
from support import released
from support.command import simcrop
from support.tiny_data import write_config

from simcrop.adapters.config.settings import load_config
from simcrop.core.recipe import ModelRecipe


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("studies"))


@pytest.fixture(scope="module")
def recipe(config: Path) -> ModelRecipe:
    return load_config(config).model


def test_a_dry_run_accounts_for_a_masked_autoencoder(config: Path, recipe: ModelRecipe, tmp_path: Path) -> None:
    path = tmp_path / "mae_pretrain_vit_base.pth"
    torch.save(released.mae_encoder(recipe), path)
    done = simcrop("train", config, "--dry-run", "--set", f"model.init={path}")
    assert done.returncode == 0, done.stderr
    assert f"simcrop: model.init: {path}: loaded 15 of the encoder's 17 tensors: 1 blocks, cls_token" in done.stderr
    assert "left out, 2D patch embedding (24, 3, 4, 4) (model.init_patches: inflated takes it)" in done.stderr
    assert "at a random start: patch_embed.proj.weight, patch_embed.proj.bias, " in done.stderr
    refused = simcrop("train", config, "--dry-run", "--set", f"model.init={path}", "--set", "model.depth=2")
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
    assert "it has 1 blocks, and model.depth is 2" in refused.stderr.splitlines()[-1]


def test_a_run_from_the_extensions_checkpoint_and_cxr_bert(config: Path, recipe: ModelRecipe, tmp_path: Path) -> None:
    path, bert, out = tmp_path / "ASAP.pth", tmp_path / "cxr_bert", tmp_path / "run"
    torch.save(released.asap(recipe), path)
    released.write_cxr_bert(bert, form="bin")
    keys = {"model.init": path, "text_encoder.source": bert, "train.steps": 2, "train.warmup_steps": 0}
    given = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    done = simcrop("train", config, "--out", out, *given)
    assert done.returncode == 0, done.stderr
    for said in (
        f"model.init: {path}: loaded 17 of the encoder's 17 tensors",
        "left out, head for shares of organs: decoder_injection_pred_layer_0 (2), decoder_injection_pred_layer_1 (2)",
        "left out, head for the number of patches of a sentence: regression_head (2)",
        f"text_encoder.source: {bert}: heads beside the encoder, left out: cls.predictions.bias, ",
    ):
        assert said in done.stderr
    assert "unknown to simcrop" not in done.stderr
    manifest = json.loads((out / "checkpoints" / "step_00000002" / "manifest.json").read_text())
    assert (manifest["model_init"]["loaded"], manifest["model_init"]["file"]) == (17, "ASAP.pth")
