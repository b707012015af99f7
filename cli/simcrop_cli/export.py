"""simcrop export"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simcrop_cli.options import Checkpoint


class Format(StrEnum):
    """Formats of an export, by who reads them."""

    SIMCROP = "simcrop"
    AUTHORS = "authors"
    MONAI = "monai"
    TRANSFORMERS = "transformers"
    MONAI_BUNDLE = "monai-bundle"


def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder to write.", show_default=False)],
    kind: Annotated[
        Format,
        typer.Option(
            "--format",
            help="simcrop: the whole model. authors, monai: the vision encoder in others' names. transformers, "
            "monai-bundle: with code that runs without simcrop.",
        ),
    ] = Format.SIMCROP,
    licence: Annotated[
        str | None,
        typer.Option(help="Licence of the weights for the model card, e.g. cc-by-nc-sa-4.0.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export in DIR.")] = False,
    push_to_hub: Annotated[
        str | None, typer.Option(metavar="NAMESPACE/NAME", help="Upload it to the hub too.", show_default=False)
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new model on the hub a private one.")] = False,
) -> None:
    """Write a trained model in a format that others read, with a model card.

    Example: simcrop export --checkpoint runs/pretrain --out exports/chest-vit --format monai
    """
    if private and push_to_hub is None:
        raise typer.BadParameter("--private is for --push-to-hub; name NAMESPACE/NAME with it")
    from simcrop.compose.exporting import export as write_export
    from simcrop.compose.exporting import publish

    write_export(checkpoint, out, kind=kind.value, licence=licence, replace_export=force, repo_id=push_to_hub)
    if push_to_hub is not None:
        print(publish(out, push_to_hub, private=private))
