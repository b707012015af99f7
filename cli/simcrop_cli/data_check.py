"""simcrop data check"""

from pathlib import Path
from typing import Annotated

import typer

from simcrop_cli.options import Overrides


def check(
    what: Annotated[Path, typer.Argument(metavar="CONFIG|FOLDER", help="YAML file of a run, or a folder of volumes.")],
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.jsonl", help="Write every problem, one JSON object a line.")
    ] = None,
    overrides: Overrides = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; all cores by default.")] = None,
) -> None:
    """Look at every file of a data set and say all that is wrong; status 1 if some of it is an error.

    Example: simcrop data check configs/own_hospital.yaml --report problems.jsonl
    """
    from simcrop_cli.check_report import check_and_report

    raise typer.Exit(check_and_report(what, report, overrides or [], workers))
