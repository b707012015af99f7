"""`simcrop locate`: the places in one scan where a model looks for sentences."""

import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from simcrop.adapters.evaluation.language.heat_map import HeatMap, PatchMap
from simcrop.adapters.evaluation.output import save_figure
from simcrop.adapters.formats.opening import is_nifti, suffix_of
from simcrop.adapters.formats.scan import Scan, read_scan, write_map
from simcrop.adapters.pages.html import require_viewer
from simcrop.adapters.pages.scan_page import write_scan_page
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.located_page import LocatedPage, PageOptions, about_model
from simcrop.compose.looking import SentenceMap, extent_text, look_for, map_on_scan
from simcrop.compose.models import load_aligned, references_of, worth_of_maps
from simcrop.core.errors import DataError, InputError
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.reports.prompts import normal_findings
from simcrop.core.reports.text import clean, sentences_of

_DPI = 130
_Kind = Literal["picture", "map", "page"]
_log = logging.getLogger("simcrop")


def locate(
    checkpoint: str,
    volume: Path,
    sentences: Sequence[str],
    outs: Sequence[Path],
    *,
    findings: Path | None = None,
    page: PageOptions | None = None,
) -> list[PatchMap]:
    """Draw and write the map of each sentence, and print where its best place is.

    Args:
        checkpoint: of a model that was trained with alignment.
        volume: file of any format, or folder of one DICOM series.
        sentences: what to look for; none takes all of `findings`.
        outs: files to write: .png is a picture, .nii and .nii.gz a map on the voxels of the scan, .html a page with all
            maps. Of several sentences the names of pictures and maps get their numbers, as in map_2.nii.gz.
        findings: text file with the findings of the scan's report; without it the sentence is read among findings that
            deny everything.
        page: what pages show beside the maps.

    Returns:
        The map of each sentence, on the model's patches.

    Raises:
        InputError: a suffix, a folder where a file should be, no sentence, one of which the model knows no word, or
            options of a page where none is written.
        ConfigError: a folder of `outs` cannot be made or written to, or the viewer of pages has not been brought.
        DataError: the scan, a mask or the findings cannot be read.
        CheckpointError: no such model, or one without alignment.
    """
    kinds: dict[Path, _Kind] = {out: _kind(out) for out in outs}
    pages, options = [out for out, kind in kinds.items() if kind == "page"], page or PageOptions()
    if options != PageOptions() and not pages:
        raise InputError("--mask, --full-resolution: are of pages alone; name one by --out, such as --out scan.html")
    company = normal_findings() if findings is None else _read_findings(findings)
    wanted = tidy_sentences(sentences or ([] if findings is None else company), "--sentence")
    for out in outs:
        make_folder(out.parent)
    scan = read_scan(volume)
    model, tokenizer = load_aligned(checkpoint, choose_device("auto"))
    gathered = LocatedPage(scan, model.recipe, options) if pages else None
    require_known(wanted, model, tokenizer, "--sentence")
    everything = look_for(wanted, scan, model, tokenizer, company, references_of(checkpoint))
    for number, (sentence, found) in enumerate(zip(wanted, everything, strict=True), 1):
        seen = map_on_scan(sentence, scan, found, model, checkpoint)
        if number == 1:
            _warn_outside(scan, model, seen.heat)
        written = _write_files(kinds, seen, None if len(wanted) == 1 else number)
        if gathered is not None:
            gathered.add(seen, found.map)
        print("\n".join([*([] if len(wanted) == 1 else [sentence]), *seen.facts, *map(str, written)]))
    worth = worth_of_maps(checkpoint)
    if gathered is not None:
        command = _command(checkpoint, volume, sentences, outs, findings, options)
        finished = gathered.finished(about_model(checkpoint, model.recipe, findings, command), worth)
        for out in pages:
            write_scan_page(out, finished)
            print(out)
    print(worth)
    return [found.map for found in everything]


def tidy_sentences(sentences: Sequence[str], where: str) -> list[str]:
    """Sentences without markup and needless spaces. Raises InputError where one, or all, are missing."""
    tidy = [" ".join(clean(sentence).split()) for sentence in sentences]
    if not tidy or not all(tidy):
        raise InputError(f"{where}: is empty; write what to look for, such as 'Pleural effusion on the left.'")
    return tidy


def require_known(sentences: Sequence[str], model: SimCroP, tokenizer: Tokenizer, where: str) -> None:
    """Raise InputError where the model knows no word of a sentence."""
    for sentence in sentences:
        ids = tokenizer.encode([sentence], max_tokens=model.text_recipe.max_tokens).ids
        if set(ids) <= {tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id}:
            raise InputError(
                f"{where}: the model knows no word of {sentence!r}; write it in the language of the reports that it "
                "was trained on"
            )


def _numbered(out: Path, number: int) -> Path:
    suffix = suffix_of(out.name) or out.suffix
    return out.with_name(f"{out.name.removesuffix(suffix)}_{number}{suffix}")


def _kind(out: Path) -> _Kind:
    if out.is_dir():
        raise InputError(f"--out: {out} is a folder; name a file in it")
    if is_nifti(out):
        return "map"
    match out.suffix.lower():
        case ".png":
            return "picture"
        case ".html":
            require_viewer()
            return "page"
        case _:
            allowed = ".png (a picture), .nii and .nii.gz (a map) and .html (a page)"
            raise InputError(f"--out: {out} ends in none of {allowed}; name one of these")


def _write_files(kinds: Mapping[Path, _Kind], seen: SentenceMap, number: int | None) -> list[Path]:
    """Write the picture and the map of one sentence where they are wanted; of several, names get their number."""
    written: list[Path] = []
    for out, kind in kinds.items():
        path = out if number is None else _numbered(out, number)
        if kind == "picture":
            save_figure(path, seen.figure(), dpi=_DPI)
        elif kind == "map":
            write_map(path, seen.values, seen.scan, about="simcrop: cosine similarity to a sentence")
        else:
            continue
        written.append(path)
    return written


def _command(
    checkpoint: str,
    volume: Path,
    sentences: Sequence[str],
    outs: Sequence[Path],
    findings: Path | None,
    options: PageOptions,
) -> str:
    """What to type for the same page."""
    given = [
        ("--checkpoint", [checkpoint]),
        ("--volume", [volume]),
        ("--sentence", sentences),
        ("--report", [] if findings is None else [findings]),
        ("--mask", options.masks),
        ("--out", outs),
    ]
    words = [word for option, values in given for value in values for word in (option, str(value))]
    return shlex.join(["simcrop", "locate", *words, *(["--full-resolution"] if options.full_resolution else [])])


def _read_findings(path: Path) -> list[str]:
    try:
        return sentences_of(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text file"
        raise DataError(f"--report: {path} cannot be read ({reason}); name a text file") from error


def _warn_outside(scan: Scan, model: SimCroP, heat: HeatMap) -> None:
    if heat.share_outside > 0:
        _log.warning(
            "%.1f %% of %s lie outside of the %s mm around its centre that the model sees; the map has its lowest "
            "value there",
            100 * heat.share_outside,
            scan.path,
            extent_text(model),
        )
