"""The state of an evaluation's training while it is not over: checkpoints that only the same settings continue.

OUT/training/step_00000150/      removed when the training is over
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.folder import Checkpoint, newest_whole
from simcrop.adapters.checkpoints.resume import check_same
from simcrop.adapters.checkpoints.store import FolderCheckpoints

_FOLDER = "training"


def unfinished_training(out: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The newest state of a training of the same settings, where it was stopped or killed.

    Args:
        out: folder of the evaluation.
        settings: all that decides what is learned, by key.

    Raises:
        CheckpointError: it is of other settings, or every state is damaged.
    """
    newest = newest_whole(out / _FOLDER)
    if newest is not None:
        check_same(newest.path, newest.settings, settings)
    return newest


def training_store(
    out: Path, settings: Mapping[str, Any], *, omit: tuple[str, ...], start_step: int
) -> FolderCheckpoints:
    """Where the state is kept.

    Args:
        out: folder of the evaluation.
        settings: as for `unfinished_training`.
        omit: prefixes of weights that never change.
        start_step: of the state that the training goes on from.
    """
    return FolderCheckpoints(
        out / _FOLDER,
        keep=2,
        config={},
        save_tokenizer=lambda folder: None,
        provenance={"settings": settings},
        omit=omit,
        start_step=start_step,
    )


def remove_training(out: Path) -> None:
    """Remove the state of a training that is over."""
    shutil.rmtree(out / _FOLDER, ignore_errors=True)
