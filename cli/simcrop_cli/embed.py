"""simcrop embed"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from simcrop_cli.options import Checkpoint

_INPUT = "Scans: files, folders, CSV files with the column volume, configurations; mixed at will."


def embed(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help=_INPUT, show_default=False)],
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the result.", show_default=False)],
    features: Annotated[
        Literal["encoder", "max", "layers"],
        typer.Option(help="Mean of the patch tokens; with their maximum; with the means after lower blocks."),
    ] = "encoder",
    form: Annotated[
        Literal["csv", "parquet", "npz"], typer.Option("--format", help="A table, or (npz) a file for each scan.")
    ] = "csv",
    tokens: Annotated[bool, typer.Option("--tokens", help="Keep all tokens of a scan too (npz).")] = False,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU where there is one.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Scans that the encoder takes at a time.")] = 16,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that read scans; one a core by default.", show_default=False)
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Take the I-th of N parts, 1/N to N/N: for a job array.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with status 1 if any scan cannot be used.")] = False,
) -> None:
    """Write the features of scans, for whatever you like to do with them; neither reports nor labels are needed.

    Example: simcrop embed scans/ --checkpoint runs/pretrain --out features

    A scan that cannot be used is named in embed.jsonl and left out. What is stopped or killed goes on with the same
    command, which computes new and changed scans alone.
    """
    from simcrop.compose import embedding
    from simcrop.core.training.stopping import Stopped
    from simcrop_cli.shards import parse_shard
    from simcrop_cli.signals import stop

    options = embedding.EmbedOptions(features, form, tokens, device, batch_size, workers, parse_shard(shard))
    try:
        result = embedding.embed(inputs, checkpoint, out, options, should_stop=stop)
    except Stopped:
        print(f"{out}: stopped; the same command goes on from here")
        return
    for row in result.refused[:_SHOWN]:
        print(f"{row['file']}: {row['message']} [{row['code']}]")
    if len(result.refused) > _SHOWN:
        print(f"... and {len(result.refused) - _SHOWN} more in {out}/embed.jsonl")
    print(f"{result.path}: features of {result.done} scans; {len(result.refused)} cannot be used")
    if strict and result.refused:
        raise typer.Exit(1)


_SHOWN = 20
"""Scans that cannot be used, of which the reason is printed."""
