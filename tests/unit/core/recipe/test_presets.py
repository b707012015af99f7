"""The `paper` recipe and the model presets change what they should."""

from dataclasses import is_dataclass, replace
from typing import Any

import pytest

from simcrop.core.recipe import (
    PAPER,
    PRESETS,
    AugmentRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    TextEncoderRecipe,
    TrainRecipe,
)

SECTIONS = {
    "model": ModelRecipe(),
    "objectives": ObjectivesRecipe(),
    "text_encoder": TextEncoderRecipe(),
    "train": TrainRecipe(),
    "data": type("Data", (), {"augment": AugmentRecipe()})(),
}


def changed(section: Any, keys: dict[str, Any]) -> Any:
    """The section with nested keys replaced; unknown keys raise."""
    values: dict[str, Any] = {}
    for key, value in keys.items():
        inner = getattr(section, key)
        values[key] = changed(inner, value) if is_dataclass(inner) else value
    return replace(section, **values) if is_dataclass(section) else values


@pytest.mark.parametrize("name", [*PRESETS, "paper"])
def test_presets_and_the_paper_recipe_change_keys_that_exist_to_values_that_are_accepted(name: str) -> None:
    for section, keys in (PAPER if name == "paper" else PRESETS[name]).items():
        assert changed(SECTIONS[section], keys) != SECTIONS[section]


def test_the_papers_sizes() -> None:
    model = changed(ModelRecipe(), PRESETS["vit_b"]["model"])
    assert model.grid == (14, 14, 14)
    assert (model.num_patches, model.num_visible, model.patch_values) == (2744, 686, 2048)
