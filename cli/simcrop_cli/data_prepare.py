"""simcrop data prepare"""

from typing import Annotated

import typer

from simcrop_cli.options import Config, Overrides


def prepare(
    config: Config,
    overrides: Overrides = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Prepare the I-th of N parts, 1/N to N/N: for a job array.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Then read everything that is prepared, and compare checksums.")
    ] = False,
) -> None:
    """Resample every volume of a run onto the model's grid once; `simcrop train` does it too where it is missing.

    Example: simcrop data prepare configs/own_hospital.yaml --shard 1/8
    """
    from simcrop import compose
    from simcrop.adapters.config.settings import load_config
    from simcrop_cli.shards import parse_shard

    settings, part = load_config(config, overrides or []), parse_shard(shard)
    data = compose.prepare(settings, shard=part)
    if verify:
        compose.verify_prepared(data, shard=part)
    if part == (0, 1):
        print(f"{settings.data.prepared}: ready for simcrop train {config}")
    else:
        print(f"{settings.data.prepared}: part {part[0] + 1} of {part[1]} is ready")
