"""The tree of commands. Their modules import nothing heavy, so that `--help` is quick."""

import typer

from simcrop_cli import bench, data_check, data_phantom, data_prepare, info, train

app = typer.Typer(
    name="simcrop",
    help="Pre-train 3D vision transformers on chest CT volumes and their reports (SimCroP).",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data = typer.Typer(help="Make and prepare data.", no_args_is_help=True)
evaluate = typer.Typer(help="Measure what a trained encoder is worth.", no_args_is_help=True)
app.command()(train.train)
app.command()(info.info)
app.command()(bench.bench)
app.add_typer(data, name="data")
app.add_typer(evaluate, name="eval")
data.command("check")(data_check.check)
data.command("phantom")(data_phantom.phantom)
data.command("prepare")(data_prepare.prepare)
