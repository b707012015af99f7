"""Options and last lines that `simcrop embed` and `simcrop predict` share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from simcrop.compose.applying import Applied

_INPUT = "Scans: files, folders, CSV files with the column volume, configurations; mixed at will."
Inputs = Annotated[list[Path], typer.Argument(metavar="INPUT...", help=_INPUT, show_default=False)]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the result.", show_default=False)]
Device = Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: a GPU where there is one.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Scans that the model takes at a time.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Processes that read scans; one a core by default.", show_default=False)
]
Shard = Annotated[
    str | None, typer.Option(metavar="I/N", help="Take the I-th of N parts, 1/N to N/N: for a job array.")
]
Strict = Annotated[bool, typer.Option("--strict", help="End with status 1 if any scan cannot be used.")]
_SHOWN = 20
"""Reasons that are printed, of either kind."""


def run_and_tell(work: Callable[[], "Applied"], out: Path, what: str, *, strict: bool) -> None:
    """Do the work, name the scans that cannot be used, and say where the result lies.

    Args:
        work: on the scans.
        out: folder of the result.
        what: that the scans have then.
        strict: end with status 1 where one cannot be used.
    """
    from simcrop.core.training.stopping import Stopped

    try:
        result = work()
    except Stopped:
        print(f"{out}: stopped; the same command goes on from here")
        return
    notes = [note for row in result.unusual for note in row["notes"]]
    for reasons in (notes, result.refused):
        for reason in reasons[:_SHOWN]:
            print(f"{reason['file']}: {reason['message']} [{reason['code']}]")
        if len(reasons) > _SHOWN:
            print(f"... and {len(reasons) - _SHOWN} more, in {out}")
    if result.unusual:
        print(f"{len(result.unusual)} of the scans look unlike a chest CT that the model knows; mistrust their numbers")
    if result.maps is not None:
        print(f"{result.maps}: maps of classes, each on the voxels of its scan")
    if result.pages is not None:
        print(f"{result.pages}: a page of each scan, which a double click opens; it holds patient data")
    print(f"{result.path}: {what} of {result.done} scans; {len(result.refused)} cannot be used")
    if strict and result.refused:
        raise typer.Exit(1)
