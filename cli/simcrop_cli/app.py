"""The tree of commands. Their modules import nothing heavy, so that `--help` is quick."""

from typing import Annotated

import typer

import simcrop
from simcrop_cli import (
    bench,
    data_check,
    data_index,
    data_phantom,
    data_prepare,
    embed,
    eval_finetune,
    eval_grounding,
    eval_knn,
    eval_probe,
    eval_retrieval,
    eval_segment,
    eval_zeroshot,
    export,
    info,
    locate,
    predict,
    report,
    train,
)

app = typer.Typer(
    name="simcrop",
    help="Pre-train 3D vision transformers on chest CT volumes and their reports (SimCroP).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"simcrop {simcrop.__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options of `simcrop` itself."""


data = typer.Typer(help="Make and prepare data.", no_args_is_help=True)
evaluate = typer.Typer(help="Measure what a trained encoder is worth.", no_args_is_help=True)
app.command()(train.train)
app.command()(info.info)
app.command()(bench.bench)
app.command()(export.export)
app.command()(embed.embed)
app.command()(locate.locate)
app.command()(predict.predict)
app.command()(report.report)
app.add_typer(data, name="data")
app.add_typer(evaluate, name="eval")
data.command("check")(data_check.check)
data.command("index")(data_index.index)
data.command("phantom")(data_phantom.phantom)
data.command("prepare")(data_prepare.prepare)
evaluate.command("segment")(eval_segment.segment)
evaluate.command("probe")(eval_probe.probe)
evaluate.command("knn")(eval_knn.knn)
evaluate.command("finetune")(eval_finetune.finetune)
evaluate.command("zeroshot")(eval_zeroshot.zeroshot)
evaluate.command("retrieval")(eval_retrieval.retrieval)
evaluate.command("grounding")(eval_grounding.grounding)
