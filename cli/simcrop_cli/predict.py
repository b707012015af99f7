"""simcrop predict"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from simcrop_cli.applying import BatchSize, Device, Inputs, Out, Shard, Strict, Workers, run_and_tell
from simcrop_cli.options import Checkpoint


def predict(
    inputs: Inputs,
    checkpoint: Checkpoint,
    out: Out,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.yaml", help="Sentences of each finding; built-in ones by default.", show_default=False
        ),
    ] = None,
    form: Annotated[Literal["csv", "parquet"], typer.Option("--format", help="Of the table.")] = "csv",
    pages: Annotated[
        bool, typer.Option("--pages", help="Write a page of each scan for a browser, too: 3 to 8 MB each.")
    ] = False,
    device: Device = "auto",
    batch_size: BatchSize = 16,
    workers: Workers = None,
    shard: Shard = None,
    strict: Strict = False,
) -> None:
    """Write a number for each finding of each scan, by a fine-tuned classifier or by sentences; or segment its organs.

    Example: simcrop predict scans/ --checkpoint runs/pretrain/eval/finetune --out predictions

    A classifier gives probabilities. A model that matches sentences gives scores, which rank scans and are no
    probabilities. What eval segment left writes a map of organs for each scan, and their volumes in ml. With --pages
    each scan has a page to leaf through. It is a research tool and not a medical device.
    """
    from simcrop.compose.applying import ScanOptions
    from simcrop.compose.predicting import PredictOptions, predict
    from simcrop_cli.shards import parse_shard
    from simcrop_cli.signals import stop

    scans = ScanOptions(device, batch_size, workers, parse_shard(shard))
    options = PredictOptions(prompts, form, scans, pages)
    run_and_tell(lambda: predict(inputs, checkpoint, out, options, should_stop=stop), out, "numbers", strict=strict)
