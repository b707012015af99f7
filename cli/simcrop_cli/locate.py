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
    sentence: Annotated[str, typer.Option(metavar="TEXT", help="What to look for.", show_default=False)],
    out: Annotated[
        list[Path],
        typer.Option(
            metavar="PICTURE.png|MAP.nii.gz",
            help="Picture, or map on the scan's own voxels; repeat it for both.",
            show_default=False,
        ),
    ],
    findings: Annotated[
        Path | None,
        typer.Option(metavar="FILE.txt", help="Findings of the scan's report, as company.", show_default=False),
    ] = None,
) -> None:
    """Show where in a scan a sentence points: a picture in three planes, a NIfTI map for any viewer, or both.

    Example: simcrop locate --checkpoint runs/pretrain --volume scan.nii.gz --sentence "The heart is enlarged."
    --out heart.png --out heart_map.nii.gz

    The sentence is read amid others, since models learn from whole reports: those of --findings, or built-in ones.
    """
    from simcrop.compose import locating

    locating.locate(checkpoint, volume, sentence, out, findings=findings)
