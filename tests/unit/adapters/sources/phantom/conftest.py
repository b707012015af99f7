"""A phantom set that the tests of this folder read and none changes."""

from pathlib import Path

import pytest

from simcrop.adapters.sources.phantom import write_phantoms


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight chests of seed 6, written by two processes."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, num_cases=8, seed=6, workers=2)
    return folder
