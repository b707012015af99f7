"""simcrop info"""

from pathlib import Path
from typing import Annotated

import typer


def info(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="PATH", help="Run folder, checkpoint, export or .pth file; this machine by default."),
    ] = None,
) -> None:
    """Say what this machine runs with and why, or what a checkpoint is.

    Example: simcrop info runs/pretrain
    """
    from simcrop_cli.facts import checkpoint_facts, machine_facts

    for name, value in (machine_facts() if path is None else checkpoint_facts(path)).items():
        print(f"{name:<22} {value}")
