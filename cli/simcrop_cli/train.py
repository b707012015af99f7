"""simcrop train"""

from pathlib import Path
from typing import Annotated

import typer

from simcrop_cli.options import Config, Overrides
from simcrop_cli.signals import stop


def train(
    config: Config,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/NAME by default.", show_default=False)
    ] = None,
    resume: Annotated[
        str, typer.Option(help="auto continues what the run folder holds, never starts anew; or a checkpoint's folder.")
    ] = "auto",
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print size, memory, time and the resolved config; train nothing.")
    ] = False,
) -> None:
    """Pre-train a model; continues by itself where an earlier run stopped.

    Example: simcrop train pretrain.yaml --set train.steps=600 --set seed=1

    Two processes: torchrun --nproc-per-node 2 -m simcrop_cli train pretrain.yaml
    """
    from simcrop.adapters.config.settings import load_config

    settings = load_config(config, overrides or [])
    if dry_run:
        from simcrop_cli.dry_run import print_dry_run

        print_dry_run(settings)
        return
    from simcrop import compose

    result = compose.train(settings, out=out or Path("runs") / settings.name, resume=resume, should_stop=stop)
    if not result.finished:
        stop.heard()
