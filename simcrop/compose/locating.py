"""`simcrop locate`: the places in one scan where a model looks for sentences."""

import logging
from collections.abc import Sequence
from pathlib import Path

from simcrop.adapters.evaluation.language.heat_map import HeatMap
from simcrop.adapters.evaluation.output import save_figure
from simcrop.adapters.formats.opening import is_nifti, suffix_of
from simcrop.adapters.formats.scan import Scan, read_scan, write_map
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.looking import SentenceMap, look_for
from simcrop.compose.models import load_aligned, trained_on
from simcrop.core.errors import DataError, InputError
from simcrop.core.evaluation.sentences import read_within
from simcrop.core.model.simcrop import SimCroP
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
    wanted = tidy_sentences(sentences or ([] if findings is None else company), "--sentence")
    for out in outs:
        make_folder(out.parent)
    scan = read_scan(volume)
    model, tokenizer = load_aligned(checkpoint, choose_device("auto"))
    reader = ReportReader(tokenizer, model.text_recipe.max_tokens)
    require_known(wanted, reader, "--sentence")
    maps = [look_for(read_within(model, reader, sentence, company), scan, model) for sentence in wanted]
    _warn_outside(scan, model, maps[0])
    for number, (sentence, found) in enumerate(zip(wanted, maps, strict=True), 1):
        seen = SentenceMap(sentence, scan, found, about_place(scan, model, found, checkpoint))
        written = [out if len(wanted) == 1 else _numbered(out, number) for out in outs]
        for out, is_picture in zip(written, are_pictures, strict=True):
            if is_picture:
                save_figure(out, seen.figure(), dpi=_DPI)
            else:
                write_map(out, found.values, scan, about="simcrop: cosine similarity to a sentence")
        print("\n".join([*([] if len(wanted) == 1 else [sentence]), *seen.facts, *map(str, written)]))
    print(f"a cosine says where a sentence fits best, not whether it is true; {trained_on(checkpoint)}")
    return maps


def tidy_sentences(sentences: Sequence[str], where: str) -> list[str]:
    """Sentences without markup and needless spaces. Raises InputError where one, or all, are missing."""
    tidy = [" ".join(clean(sentence).split()) for sentence in sentences]
    if not tidy or not all(tidy):
        raise InputError(f"{where}: is empty; write what to look for, such as 'Pleural effusion on the left.'")
    return tidy


def require_known(sentences: Sequence[str], reports: ReportReader, where: str) -> None:
    """Raise InputError where the model knows no word of a sentence."""
    tokenizer = reports.tokenizer
    for sentence in sentences:
        ids = tokenizer.encode([sentence], max_tokens=reports.max_tokens).ids
        if set(ids) <= {tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id}:
            raise InputError(
                f"{where}: the model knows no word of {sentence!r}; write it in the language of the reports that it "
                "was trained on"
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


def about_place(scan: Scan, model: SimCroP, found: HeatMap, name: str) -> list[str]:
    """Lines that say where a map's best place is, and what a model of that name sees of the scan."""
    place = ", ".join(f"{axis} {mm:.1f}" for axis, mm in zip("xyz", found.best_mm, strict=True))
    voxel = ", ".join(map(str, found.best_voxel))
    seen = f"the model {name} sees {_extent(model)} mm around the centre"
    if found.share_outside > 0:
        seen += f", {100 * (1 - found.share_outside):.0f} % of the scan (dashed line)"
    return [f"{scan.path.name}: cosine {found.cosine:.3f} at {place} mm (RAS), voxel {voxel}", seen]
