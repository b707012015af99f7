"""simcrop bench"""

from enum import StrEnum
from typing import Annotated

import typer


class What(StrEnum):
    """Names by which pytest selects what can be timed by itself."""

    MASKED_PATCH_EMBED = "masked_patch_embed"
    SENTENCE_PATCH_TOPK = "sentence_patch_topk"
    SENTENCE_VOLUME_SCORES = "sentence_volume_scores"
    SOFT_VOLUME_SCORES = "soft_volume_scores"
    MASKED_PATCH_MSE = "masked_patch_mse"
    VISION_STEP = "vision_step"
    TRAINING_STEP = "training_step"
    DATA = "data"


def bench(
    what: Annotated[What | None, typer.Argument(metavar="OP", help="An operation or a step; left out, all.")] = None,
) -> None:
    """Time the operations and whole steps against PyTorch and MONAI, a table each: in a clone of the repository.

    Example: simcrop bench masked_patch_embed
    """
    from simcrop_cli.benchmarks import run_benchmarks

    raise typer.Exit(run_benchmarks(what))
