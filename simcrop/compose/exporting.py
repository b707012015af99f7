"""Export of a trained model in the formats that others read, and to the hub."""

from functools import partial
from pathlib import Path

import torch

from simcrop.adapters.checkpoints.encoder_file import Trained, open_weights
from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.hub import local_copy, publish
from simcrop.adapters.export.formats import (
    Format,
    check_target,
    write_authors,
    write_checkpoint,
    write_monai,
    write_whole,
)
from simcrop.adapters.export.model_card import CardFacts, model_card
from simcrop.adapters.export.monai_bundle import CARD as BUNDLE_CARD
from simcrop.adapters.export.monai_bundle import write_bundle
from simcrop.adapters.export.monai_names import difference
from simcrop.adapters.export.results import results_of
from simcrop.adapters.export.transformers_folder import write_transformers
from simcrop.adapters.formats.geometry import to_ras
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.sources.phantom.render import render
from simcrop.adapters.sources.phantom.specification import plan, sample_study
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.provenance import versions
from simcrop.compose.applying import View
from simcrop.compose.models import load_encoder, load_simcrop
from simcrop.core.data.study import Volume
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import Size

__all__ = ["export", "publish"]


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
            exported of a fine-tuned classifier; monai-bundle or transformers, with code that runs without simcrop:
            the vision encoder, and for transformers what compares sentences with its patches, where there is that.
        licence: of the weights, for the model card; an id of the hub such as cc-by-nc-sa-4.0, or a name.
        replace_export: whether an earlier export in `out` may go.
        repo_id: hub id under which the model will be published, for the code in the card.

    Raises:
        CheckpointError: nothing to export, `out` holds something else, or the disk refuses.
        DataError: another process exports into `out`.
    """
    with owned(out, beside=True):
        check_target(out, replace_export=replace_export)
        _export(path, out, kind, licence, repo_id)


def _export(path: str | Path, out: Path, kind: Format, licence: str | None, repo_id: str | None) -> None:
    source = local_copy(path)
    opened = open_weights(source)
    remedy = "export its encoder with --format authors, monai, monai-bundle or transformers"
    checkpoint = opened.whole(path, remedy) if kind == "simcrop" else None
    encoder = load_encoder(source)
    aligned = _aligned(source, opened) if kind == "transformers" else None
    facts = _facts(opened, encoder, kind, licence, where=repo_id or out.resolve().name, aligned=aligned)
    # Of a checkpoint's manifest, all but the head and the places of a fine-tuning.
    provenance = {key: value for key, value in opened.manifest.items() if key not in ("classifier", "settings")}
    own = {"format": kind, "step": opened.step, "weights_sha256": facts.sha256, "exported_with": versions()}
    grid_size = View.of(str(source), encoder.recipe).grid.size
    write_whole(out, partial(_write, checkpoint, encoder, aligned, grid_size, facts), provenance | own)
    _print_result(out, facts)


def _aligned(source: Path, opened: Trained) -> SimCroP | None:
    """The whole model, where it was trained to compare sentences with patches."""
    config = opened.run_config()
    if config is None or "classifier" in opened.manifest or not config.objectives.matches_sentences:
        return None
    return load_simcrop(source)


def _facts(
    opened: Trained, encoder: VisionEncoder, kind: Format, licence: str | None, *, where: str, aligned: SimCroP | None
) -> CardFacts:
    return CardFacts(
        name=where.rpartition("/")[2],
        kind=kind,
        where=where,
        recipe=encoder.recipe,
        num_parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        step=opened.step,
        sha256=opened.sha256,
        licence=licence,
        config=opened.run_config(),
        manifest=opened.manifest,
        results=results_of(opened),
        class_token=_class_token(encoder) if kind == "monai" else None,
        has_text_side=aligned is not None,
    )


def _class_token(encoder: VisionEncoder) -> float:
    """Relative difference between MONAI's tokens of a phantom chest and the encoder's."""
    recipe, study = encoder.recipe, sample_study(plan(1, 0, 0.0)[0], 0)
    rendering = render(study, study.reconstructions[0])
    voxels, affine = to_ras(rendering.hu, rendering.affine, rendering.hu.dtype)
    chest = Volume(torch.from_numpy(voxels), torch.from_numpy(affine))
    volume, _ = resample_volume(chest, Grid(recipe.spacing_mm, recipe.volume_size))
    return difference(encoder, volume.expand(1, recipe.in_channels, *volume.shape))


def _write(
    checkpoint: Checkpoint | None,
    encoder: VisionEncoder,
    aligned: SimCroP | None,
    grid_size: Size,
    facts: CardFacts,
    folder: Path,
) -> None:
    if checkpoint is not None:
        write_checkpoint(folder, checkpoint)
    elif facts.kind == "authors":
        write_authors(folder, encoder, facts.step)
    elif facts.kind == "monai":
        write_monai(folder, encoder)
    elif facts.kind == "transformers":
        write_transformers(folder, encoder, grid_size, aligned)
    else:
        write_bundle(folder, encoder, grid_size, facts.name, facts.licence)
        (folder / BUNDLE_CARD).write_text(model_card(facts), encoding="utf-8")
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def _print_result(out: Path, facts: CardFacts) -> None:
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        print(f"{path}  {path.stat().st_size:,} bytes")
    load = {
        "simcrop": f'simcrop.load_model("{out}") and simcrop.load_encoder("{out}") load it',
        "authors": f'simcrop.load_encoder("{out}") loads it, and so does torch.load(..., weights_only=True)["model"]',
        "monai": f"{out / 'README.md'} has the code that loads it into MONAI's ViT",
        "transformers": f'AutoModel.from_pretrained("{out}", trust_remote_code=True) loads it',
        "monai-bundle": f"in {out}, python -m monai.bundle run --config_file configs/inference.json runs it",
    }[facts.kind]
    print(f"{load}; the model card is {out / 'README.md'}: read it before you pass it on")
