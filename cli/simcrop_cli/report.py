"""simcrop report"""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option(metavar="PAGE.html", help="The file; report.html in the folder by default.", show_default=False),
    ] = None,
) -> None:
    """Write one HTML page of a run: configuration, curves, pictures, and every evaluation below its folder.

    Example: simcrop report runs/pretrain

    The page needs no server and no other file, so it can be mailed. Every run writes one at its end; write it again
    after an evaluation.
    """
    from simcrop.compose import reporting

    print(reporting.report(run, out))
