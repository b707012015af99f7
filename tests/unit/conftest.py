"""Runs that take seconds to train: several files read them, and none changes them."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from support import labelled_runs, language_run, trained_run

Made = TypeVar("Made")


def _made(make: Callable[[Path], Made], folder: Path) -> Made:
    """What `make` gives; a run sets torch's threads, and they are put back."""
    threads = torch.get_num_threads()
    try:
        return make(folder)
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> trained_run.Setting:
    """A finished run of four steps."""
    return _made(trained_run.trained, tmp_path_factory.mktemp("done"))


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> labelled_runs.Setting:
    """Studies with labels, and a run on them."""
    return _made(labelled_runs.trained, tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> language_run.Tiny:
    """Studies with labels and masks, and a run on their reports."""
    return _made(language_run.trained, tmp_path_factory.mktemp("tiny"))
