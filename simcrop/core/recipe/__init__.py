"""The parameters of a run as frozen dataclasses; the YAML file has the same names.

Defaults are the `improved` recipe. `PAPER` lists what the `paper` recipe changes, `PRESETS` the model sizes; keys that
a user writes win over both. Every class refuses impossible values on construction with a `ConfigError` that names the
key relative to its section.
"""

from simcrop.core.recipe.augment import AugmentRecipe
from simcrop.core.recipe.model import ModelRecipe
from simcrop.core.recipe.objectives import (
    TERMS,
    AlignmentRecipe,
    LateInteractionRecipe,
    ObjectiveSection,
    ObjectivesRecipe,
    OrganSharesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
)
from simcrop.core.recipe.presets import PAPER, PRESETS
from simcrop.core.recipe.section import MOST_BLOCKS, MOST_WIDTH, Section, Size, require, require_few_voxels
from simcrop.core.recipe.text_encoder import MOST_TOKENS, MOST_WORDS, TextEncoderRecipe
from simcrop.core.recipe.train import Optimisation, TrainRecipe

__all__ = [
    "MOST_BLOCKS",
    "MOST_TOKENS",
    "MOST_WIDTH",
    "MOST_WORDS",
    "PAPER",
    "PRESETS",
    "TERMS",
    "AlignmentRecipe",
    "AugmentRecipe",
    "LateInteractionRecipe",
    "ModelRecipe",
    "ObjectiveSection",
    "ObjectivesRecipe",
    "Optimisation",
    "OrganSharesRecipe",
    "ReconstructionRecipe",
    "ReportRecipe",
    "Section",
    "Size",
    "TextEncoderRecipe",
    "TrainRecipe",
    "require",
    "require_few_voxels",
]
