"""Sizes in the names of the code that exports carry; standalone/test_vision.py says that the encoder is the same."""

import json
from dataclasses import replace

import pytest
from support.small_models import MODEL

from simcrop.adapters.export.encoder_sizes import encoder_sizes, input_sizes
from simcrop.core.errors import CheckpointError


def test_they_pass_through_json() -> None:
    recipe = replace(MODEL, windows=((-1000.0, 1000.0), (-150.0, 250.0)))
    sizes = encoder_sizes(recipe)
    assert json.loads(json.dumps(sizes)) == sizes
    assert sizes["windows"] == [[-1000.0, 1000.0], [-150.0, 250.0]]
    assert input_sizes(recipe, (10, 11, 12)) == {
        "spacing_mm": [*recipe.spacing_mm],
        "grid_size": [10, 11, 12],
        "volume_size": [*recipe.volume_size],
    }


def test_what_reads_more_than_one_channel_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"^model\.in_channels: 2 cannot be exported with code .*; take --format"):
        encoder_sizes(replace(MODEL, in_channels=2))
