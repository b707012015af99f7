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
            metavar="PICTURE.png|MAP.nii.gz",
            help="Picture, or map on the scan's own voxels; repeat it for both.",
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
            metavar="FILE.txt",
            help="Findings of the scan's report: company, and without --sentence looked for one by one.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Show where in a scan sentences point: a picture in three planes, a NIfTI map for any viewer, or both.

    Example: simcrop locate --checkpoint runs/pretrain --volume scan.nii.gz --sentence "The heart is enlarged."
    --out heart.png --out heart_map.nii.gz

    Of several sentences every file gets a number. Each is read amid others, since models learn from whole reports:
    those of --findings, or built-in ones.
    """
    from simcrop.compose import locating

    locating.locate(checkpoint, volume, sentence or [], out, findings=findings)
