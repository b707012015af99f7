"""Sections of a run that must agree with each other."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.configurations import load, message

from simcrop.adapters.config.settings import RunConfig
from simcrop.core.errors import ConfigError
from simcrop.core.recipe import LateInteractionRecipe, ModelRecipe


@pytest.mark.parametrize("term", ["alignment", "late_interaction"])
@pytest.mark.parametrize("local", ["local_patch_size: null", "local_patch_size: [12, 12, 6], local_keep: 0.1"])
def test_top_k_above_the_visible_patches_is_refused_and_at_them_accepted(tmp_path: Path, term: str, local: str) -> None:
    model = f"model: {{volume_size: [96, 96, 48], patch_size: [12, 12, 6], mask_ratio: 0.9, {local}}}"
    pooling = "pooling: best, " if term == "late_interaction" else ""
    text = f"{model}\nobjectives: {{{term}: {{{pooling}top_k: TOP_K}}}}"
    assert message(tmp_path, text.replace("TOP_K", "52")).startswith(
        f"pretrain.yaml: objectives.{term}.top_k: 52 is above the 51 visible patches"
    )
    assert getattr(load(tmp_path, text.replace("TOP_K", "51")).objectives, term).top_k == 51


def test_top_k_may_be_anything_where_late_interaction_looks_at_all(tmp_path: Path) -> None:
    text = "model: {mask_ratio: 0.9}\nobjectives: {late_interaction: {top_k: 128}}"
    assert load(tmp_path, text).objectives.late_interaction.pooling == "soft"


def test_values_are_checked_however_a_config_is_made() -> None:
    config = RunConfig()
    late = LateInteractionRecipe(pooling="best", top_k=128)
    model = ModelRecipe(mask_ratio=0.9, local_patch_size=None)
    with pytest.raises(ConfigError, match=r"late_interaction\.top_k"):
        replace(config, objectives=replace(config.objectives, late_interaction=late), model=model)
