"""`simcrop locate`: the places in one scan where a model looks for sentences."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.evaluation.language.heat_map import HeatMap, map_onto
from simcrop.adapters.evaluation.output import save_figure
from simcrop.adapters.figures.located import Located, located_figure
from simcrop.adapters.formats.opening import is_nifti, suffix_of
from simcrop.adapters.formats.scan import Scan, read_scan, write_map
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.models import load_aligned, trained_on
from simcrop.core.errors import DataError, InputError
from simcrop.core.evaluation.grounding import similarity_maps
from simcrop.core.evaluation.sentences import read_within
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.reports.prompts import normal_findings
from simcrop.core.reports.reader import ReportReader
from simcrop.core.reports.text import clean, sentences_of

_DPI = 130
_log = logging.getLogger("simcrop")


def locate(
    checkpoint: str, volume: Path, sentences: Sequence[str], outs: Sequence[Path], *, findings: Path | None = None
) -> list[HeatMap]:
    """Draw and write the map of each sentence, and print where its best place is.

    Args:
        checkpoint: of a model that was trained with alignment.
        volume: file of any format, or folder of one DICOM series.
        sentences: what to look for; none takes all of `findings`.
        outs: files to write: .png is a picture, .nii and .nii.gz a map on the voxels of the scan. Of several sentences
            the names get their numbers, as in map_2.nii.gz.
        findings: text file with the findings of the scan's report; without it the sentence is read among findings that
            deny everything.

    Raises:
        InputError: a suffix, a folder where a file should be, no sentence, or one of which the model knows no word.
        ConfigError: a folder of `outs` cannot be made or written to.
        DataError: the scan or the findings cannot be read.
        CheckpointError: no such model, or one without alignment.
    """
    are_pictures = [_is_picture(out) for out in outs]
    company = normal_findings() if findings is None else _read_findings(findings)
    wanted = [" ".join(clean(sentence).split()) for sentence in sentences or ([] if findings is None else company)]
    if not wanted or not all(wanted):
        raise InputError("--sentence: is empty; write what to look for, such as 'Pleural effusion on the left.'")
    for out in outs:
        make_folder(out.parent)
    scan = read_scan(volume)
    model, tokenizer = load_aligned(checkpoint, choose_device("auto"))
    for sentence in wanted:
        _require_known(sentence, model, tokenizer)
    reader = ReportReader(tokenizer, model.text_recipe.max_tokens)
    maps = [_look(scan, model, read_within(model, reader, sentence, company)) for sentence in wanted]
    _warn_outside(scan, model, maps[0])
    for number, (sentence, found) in enumerate(zip(wanted, maps, strict=True), 1):
        facts = _facts(scan, model, found, checkpoint)
        written = [out if len(wanted) == 1 else _numbered(out, number) for out in outs]
        for out, is_picture in zip(written, are_pictures, strict=True):
            if is_picture:
                save_figure(out, located_figure(_located(scan, found, sentence, facts)), dpi=_DPI)
            else:
                write_map(out, found.values, scan, about="simcrop: cosine similarity to a sentence")
        print("\n".join([*([] if len(wanted) == 1 else [sentence]), *facts, *map(str, written)]))
    print(f"a cosine says where a sentence fits best, not whether it is true; {trained_on(checkpoint)}")
    return maps


def _require_known(sentence: str, model: SimCroP, tokenizer: Tokenizer) -> None:
    """Raise InputError where the model knows no word of a sentence."""
    ids = tokenizer.encode([sentence], max_tokens=model.text_recipe.max_tokens).ids
    if set(ids) <= {tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id}:
        raise InputError(
            f"--sentence: the model knows no word of {sentence!r}; write it in the language of the reports that it was "
            "trained on"
        )


def _numbered(out: Path, number: int) -> Path:
    suffix = suffix_of(out.name) or out.suffix
    return out.with_name(f"{out.name.removesuffix(suffix)}_{number}{suffix}")


def _is_picture(out: Path) -> bool:
    if out.is_dir():
        raise InputError(f"--out: {out} is a folder; name a file in it")
    if out.suffix.lower() == ".png" or is_nifti(out):
        return not is_nifti(out)
    raise InputError(f"--out: {out} ends in none of .png (a picture), .nii and .nii.gz (a map); name one of these")


def _read_findings(path: Path) -> list[str]:
    try:
        return sentences_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise DataError(f"--findings: {path} cannot be read ({reason}); name a text file") from error


@torch.no_grad()
def _look(scan: Scan, model: SimCroP, sentence: Float[Tensor, "E"]) -> HeatMap:
    recipe = model.recipe
    voxels, seen = resample_volume(scan.volume, Grid(recipe.spacing_mm, recipe.volume_size))
    patches = model.patch_features(voxels[None, None].to(model.encoder.cls_token.device))[0]
    similarity = similarity_maps(sentence[None], patches)[0].reshape(recipe.matched_grid).cpu().numpy()
    return map_onto(similarity, recipe.matched_patch_size, seen.numpy(), scan.shape, scan.affine)


def _warn_outside(scan: Scan, model: SimCroP, heat: HeatMap) -> None:
    if heat.share_outside > 0:
        _log.warning(
            "%.1f %% of %s lie outside of the %s mm around its centre that the model sees; the map has its lowest "
            "value there",
            100 * heat.share_outside,
            scan.path,
            _extent(model),
        )


def _extent(model: SimCroP) -> str:
    sizes = zip(model.recipe.volume_size, model.recipe.spacing_mm, strict=True)
    return " x ".join(f"{size * spacing:g}" for size, spacing in sizes)


def _facts(scan: Scan, model: SimCroP, found: HeatMap, checkpoint: str) -> list[str]:
    place = ", ".join(f"{axis} {mm:.1f}" for axis, mm in zip("xyz", found.best_mm, strict=True))
    voxel = ", ".join(map(str, found.best_voxel))
    seen = f"the model {checkpoint} sees {_extent(model)} mm around the centre"
    if found.share_outside > 0:
        seen += f", {100 * (1 - found.share_outside):.0f} % of the scan (dashed line)"
    return [f"{scan.path.name}: cosine {found.cosine:.3f} at {place} mm (RAS), voxel {voxel}", seen]


def _located(scan: Scan, found: HeatMap, sentence: str, facts: Sequence[str]) -> Located:
    """The same on axes to the patient's right, front and head."""
    values = scan.as_ras(found.values)
    world = np.linalg.inv(scan.volume.affine.double().numpy()) @ (*found.best_mm, 1)
    x, y, z = (int(index) for index in np.rint(world[:3]))
    return Located(
        sentence=sentence,
        facts=facts,
        hu=scan.volume.voxels.numpy(),
        similarity=values,
        inside=scan.as_ras(found.inside.astype(np.float32)) > 0,
        best_voxel=(x, y, z),
        spacing_mm=scan.volume.spacing_mm,
    )
