"""simcrop locate"""

from pathlib import Path
from typing import Annotated

import typer

from simcrop_cli.options import Checkpoint


def locate(
    checkpoint: Checkpoint,
    volume: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Scan: .nii.gz, .nii, .mha, .mhd, .nrrd, or a folder of DICOM slices.",
            show_default=False,
        ),
    ],
    out: Annotated[
        list[Path],
        typer.Option(
            metavar="PICTURE.png|MAP.nii.gz|PAGE.html",
            help="Picture, map on the scan's own voxels, or page for a browser; repeat it for several.",
            show_default=False,
        ),
    ],
    sentence: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="What to look for; repeat it for several.", show_default=False),
    ] = None,
    findings: Annotated[
        Path | None,
        typer.Option(
            "--report",
            "--findings",
            metavar="FILE.txt",
            help="Findings of the scan's report: company, and without --sentence looked for one by one.",
            show_default=False,
        ),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE|FOLDER",
            help="True place, an outline on the page: a mask, or a folder of ground truth; may be repeated.",
            show_default=False,
        ),
    ] = None,
    full_resolution: Annotated[
        bool, typer.Option("--full-resolution", help="Put the whole scan on the page, on its own voxels.")
    ] = False,
) -> None:
    """Show where in a scan sentences point: a picture, a NIfTI map for any viewer, or a page to leaf through.

    Example: simcrop locate --checkpoint runs/pretrain --volume scan.nii.gz --sentence "The heart is enlarged."
    --out heart.png --out heart.html

    Of several sentences pictures and maps get numbers, and a page has all. Each is read amid others, since models learn
    from whole reports: those of --report, or built-in ones.
    """
    from simcrop.compose import locating
    from simcrop.compose.located_page import PageOptions

    page = PageOptions(tuple(mask or ()), full_resolution)
    locating.locate(checkpoint, volume, sentence or [], out, findings=findings, page=page)
