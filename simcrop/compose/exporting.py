"""A trained model in the formats that others read, and on the hub."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.encoder_file import EncoderFile, open_weights
from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.checkpoints.models import config_of
from simcrop.adapters.export.example_volume import example_volume
from simcrop.adapters.export.formats import (
    Format,
    check_target,
    write_authors,
    write_checkpoint,
    write_monai,
    write_whole,
)
from simcrop.adapters.export.model_card import CardFacts, model_card
from simcrop.adapters.export.monai_names import difference
from simcrop.adapters.export.results import RunResults, results_of
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.system.provenance import versions
from simcrop.compose.models import checkpoint_identity, load_encoder
from simcrop.core.errors import CheckpointError, one_line
from simcrop.core.model.encoder import VisionEncoder


def export(
    path: str | Path,
    out: Path,
    *,
    kind: Format = "simcrop",
    licence: str | None = None,
    replace_export: bool = False,
    repo_id: str | None = None,
) -> None:
    """Write an export folder, and print what lies in it.

    Args:
        path: what to export, as for `load_encoder`.
        out: the folder; absent, empty, or an earlier export that `replace_export` gives up.
        kind: simcrop, the whole model; authors or monai, the vision encoder in their names, which is all that is
            exported of a fine-tuned classifier.
        licence: of the weights, for the model card; an id of the hub such as cc-by-nc-sa-4.0, or a name.
        replace_export: whether an earlier export in `out` may go.
        repo_id: hub id under which the model will be published, for the code in the card.

    Raises:
        CheckpointError: nothing to export, `out` holds something else, or the disk refuses.
    """
    check_target(out, replace_export=replace_export)
    source = local_copy(path)
    opened = open_weights(source)
    if kind == "simcrop" and isinstance(opened, EncoderFile):
        raise CheckpointError(f"{path}: holds a vision encoder alone; export it with --format authors or monai")
    if kind == "simcrop" and isinstance(opened, Checkpoint) and opened.is_classifier:
        raise CheckpointError(
            f"{path}: holds a fine-tuned classifier, no text side; export its encoder with --format authors or monai"
        )
    encoder = load_encoder(source)
    facts = _facts(opened, encoder, kind, licence, where=repo_id or out.resolve().name)
    manifest: dict[str, Any] = {"format": kind, "step": opened.step, "weights_sha256": facts.sha256}
    manifest |= {"exported_with": versions(), **_provenance(facts.manifest)}
    write_whole(out, partial(_write, opened, encoder, facts), manifest)
    _print_result(out, facts)


def publish(out: Path, repo_id: str, *, private: bool) -> str:
    """Upload an export folder to the hub, where the model is made if it is not there yet.

    Args:
        out: the folder.
        repo_id: NAMESPACE/NAME.
        private: whether a new model is seen by its namespace alone.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: the hub refuses, or cannot be reached.
    """
    from simcrop.adapters.export.hub_upload import ExportedModel

    try:
        return str(
            ExportedModel(out).push_to_hub(repo_id, private=private or None, commit_message="Export from simcrop")
        )
    except Exception as error:  # see `adapters.hub`: whatever the HTTP library raises
        raise CheckpointError(
            f"--push-to-hub {repo_id}: not uploaded ({one_line(error)}); log in with `hf auth login`, go online, or "
            f"upload {out} yourself"
        ) from error


def _facts(
    opened: Checkpoint | EncoderFile, encoder: VisionEncoder, kind: Format, licence: str | None, *, where: str
) -> CardFacts:
    is_checkpoint = isinstance(opened, Checkpoint)
    config = config_of(opened) if is_checkpoint else None
    identity = checkpoint_identity(opened.folder if is_checkpoint else opened.path)
    return CardFacts(
        name=where.rpartition("/")[2],
        kind=kind,
        where=where,
        recipe=encoder.recipe,
        num_parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        step=opened.step,
        sha256=identity["sha256"],
        licence=licence,
        config=config,
        manifest=opened.manifest if is_checkpoint else {},
        results=results_of(opened) if is_checkpoint else RunResults({}, {}),
        class_token=_class_token(encoder) if kind == "monai" else None,
    )


def _provenance(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's manifest says beside its files, without the head and the places of a fine-tuning."""
    left_out = ("files", "format", "exported_with", "classifier", "settings")
    return {key: value for key, value in manifest.items() if key not in left_out}


def _class_token(encoder: VisionEncoder) -> float:
    """How much MONAI's tokens of a phantom chest differ from the encoder's, relative."""
    recipe = encoder.recipe
    volume = example_volume(Grid(recipe.spacing_mm, recipe.volume_size))
    return difference(encoder, volume.expand(1, recipe.in_channels, *volume.shape))


def _write(opened: Checkpoint | EncoderFile, encoder: VisionEncoder, facts: CardFacts, folder: Path) -> None:
    if facts.kind == "authors":
        write_authors(folder, encoder, facts.step)
    elif facts.kind == "monai":
        write_monai(folder, encoder)
    elif isinstance(opened, Checkpoint) and facts.config is not None:
        write_checkpoint(folder, opened, facts.config)
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def _print_result(out: Path, facts: CardFacts) -> None:
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")
    load = {
        "simcrop": f'simcrop.load_model("{out}") and simcrop.load_encoder("{out}") load it',
        "authors": f'simcrop.load_encoder("{out}") loads it, and so does torch.load(..., weights_only=True)["model"]',
        "monai": f"{out / 'README.md'} has the code that loads it into MONAI's ViT",
    }[facts.kind]
    print(f"{load}; the model card is {out / 'README.md'}: read it before you pass it on")
