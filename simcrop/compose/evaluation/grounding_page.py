"""The page of `simcrop eval grounding`: studies that a model does worst, middling and best on, with the true places."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simcrop.adapters.evaluation.language.heat_map import PatchMap
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.loading.resample import resample_mask
from simcrop.adapters.pages.html import require_viewer
from simcrop.adapters.pages.scan_page import Image, Mask, Point, ScanPage, Shown, write_scan_page
from simcrop.adapters.pages.words import distance_mm, place_in_mm
from simcrop.adapters.system.files import make_folder
from simcrop.compose.evaluation.language_task import LanguageTask
from simcrop.compose.located_page import CAUTIONS, MAP_SAMPLES, about_model, shown_box
from simcrop.compose.models import worth_of_maps
from simcrop.core.data.augment import centre_start
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.ports import TruthSource

_ORDER = ("worst", "middle", "best")
_DPI = 84
_PAGE = "page.html"
_log = logging.getLogger("simcrop")


def write_grounding_page(
    out: Path,
    task: LanguageTask,
    source: TruthSource,
    maps: Mapping[str, Sequence[PlacedMap]],
    figures: Mapping[str, Figure],
) -> None:
    """Write page.html into an evaluation's folder, where there is a viewer and something to show.

    Args:
        out: the folder.
        task: whose model and data these are.
        source: of the masks.
        maps: name of a picture, such as worst_1 -> maps of the sentences of its study.
        figures: the pictures, for printing.
    """
    (out / _PAGE).unlink(missing_ok=True)
    chosen = [name for kind in _ORDER for name in maps if name.partition("_")[0] == kind and maps[name]]
    if not chosen:
        return
    try:
        require_viewer()
    except ConfigError as error:
        _log.info("no page is written: %s", error)
        return
    scans: list[Image] = []
    shown: list[Shown] = []
    for number, name in enumerate(chosen):
        image, entries = _study(task, source, name, maps[name], number)
        scans.append(image)
        panel = small_png(figures[name], dpi=_DPI) if name in figures else None
        shown += [replace(entries[0], panel=panel), *entries[1:]]
    checkpoint = str(task.checkpoint["path"])
    worth = worth_of_maps(checkpoint)
    page = ScanPage(
        title=f"Grounding: {', '.join(chosen)}",
        scans=scans,
        shown=shown,
        measure="cosine",
        entries="sentences",
        facts=about_model(checkpoint, task.model.recipe, None, "simcrop eval grounding")
        | {"Sentences read among": "the findings of their reports"},
        cautions=[CAUTIONS[0], f"{worth[0].upper()}{worth[1:]}.", *CAUTIONS[1:]],
    )
    make_folder(out)
    write_scan_page(out / _PAGE, page)


def _study(
    task: LanguageTask, source: TruthSource, name: str, maps: Sequence[PlacedMap], number: int
) -> tuple[Image, list[Shown]]:
    reconstruction, recipe = maps[0].study.reconstructions[0], task.model.recipe
    image = shown_box(task.data.source.read_volume(reconstruction), recipe)
    prepared = task.data.prepared
    seen = prepared.affine(reconstruction).double().numpy()
    shift = np.eye(4)
    shift[:3, 3] = centre_start(prepared.size, recipe.volume_size)
    entries: list[Shown] = []
    for each in maps:
        found = PatchMap.of(each.similarity, each.among, recipe.matched_grid, recipe.matched_patch_size, seen @ shift)
        values, affine = found.sampled(MAP_SAMPLES)
        best = found.best_mm
        mask = Mask("true place", Image(_place(source, reconstruction, each, image), image.affine))
        entries.append(
            Shown(
                title=each.place.text,
                notes=[f"{name.replace('_', ' ')}: {each.study.study_id}", *_fit(each, best, mask)],
                score=float(each.similarity[each.among].max()),
                best_mm=best,
                map=Image(values, affine),
                outlines=[mask],
                scan=number,
            )
        )
    return image, entries


def _place(source: TruthSource, reconstruction: str, each: PlacedMap, image: Image) -> NDArray[np.bool_]:
    """Where a sentence truly points, on the voxels of the page."""
    x, y, z = image.voxels.shape
    affine, inside = torch.from_numpy(image.affine), torch.zeros(x, y, z, dtype=torch.bool)
    for mask in each.place.mask_names:
        inside |= resample_mask(source.read_mask(reconstruction, mask), affine, (x, y, z))
    return inside.numpy()


def _fit(each: PlacedMap, best: Point, mask: Mask) -> list[str]:
    distance = distance_mm(best, mask.image.voxels, mask.image.affine)
    where = "inside its true place" if distance == 0 else f"{distance:.0f} mm from its true place"
    return [str(each.place.finding), f"{place_in_mm(best)}: {where}"]
