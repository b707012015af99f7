"""Configurations from a few lines of YAML, and what is said of those that are refused."""

from pathlib import Path

import pytest

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.core.errors import ConfigError


def load(folder: Path, text: str, *overrides: str) -> RunConfig:
    """The configuration in `text`, read from a file."""
    path = folder / "pretrain.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def message(folder: Path, text: str, *overrides: str) -> str:
    """The one line that refuses it."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, *overrides)
    line = str(caught.value).replace(f"{folder}/", "")
    assert "\n" not in line
    return line
