"""simcrop embed"""

from typing import Annotated, Literal

import typer

from simcrop_cli.applying import BatchSize, Device, Inputs, Out, Shard, Strict, Workers, run_and_tell
from simcrop_cli.options import Checkpoint


def embed(
    inputs: Inputs,
    checkpoint: Checkpoint,
    out: Out,
    features: Annotated[
        Literal["encoder", "max", "layers"],
        typer.Option(help="Mean of the patch tokens; with their maximum; with the means after lower blocks."),
    ] = "encoder",
    form: Annotated[
        Literal["csv", "parquet", "npz", "h5"],
        typer.Option("--format", help="A table, or (npz, h5) a file for each scan."),
    ] = "csv",
    tokens: Annotated[bool, typer.Option("--tokens", help="Keep all tokens of a scan too (npz, h5).")] = False,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    workers: Workers = None,
    shard: Shard = None,
    strict: Strict = False,
) -> None:
    """Write the features of scans, for whatever you like to do with them; neither reports nor labels are needed.

    Example: simcrop embed scans/ --checkpoint runs/pretrain --out features

    A scan that cannot be used is named in scans.jsonl and left out. What is stopped or killed goes on with the same
    command, which computes new and changed scans alone.
    """
    from simcrop.compose.applying import ScanOptions
    from simcrop.compose.embedding import EmbedOptions, embed
    from simcrop_cli.shards import parse_shard
    from simcrop_cli.signals import stop

    scans = ScanOptions(device, batch_size, workers, parse_shard(shard))
    options = EmbedOptions(features, form, tokens, scans)
    run_and_tell(lambda: embed(inputs, checkpoint, out, options, should_stop=stop), out, "features", strict=strict)
