"""The page of `simcrop eval grounding`: studies that a model does worst, middling and best on, with the true places."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from simcrop.adapters.evaluation.language.heat_map import PatchMap
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.loading.resample import resample_mask
from simcrop.adapters.pages.scan_page import Image, Mask, Point, ScanPage, Shown, ShownScan
from simcrop.adapters.pages.words import distance_mm, place_in_mm
from simcrop.compose.evaluation.language_task import LanguageTask
from simcrop.compose.located_page import about_model
from simcrop.compose.models import worth_of_maps
from simcrop.compose.pages import MAP_SAMPLES, PANEL_DPI, cautions, image_of, shown_box, write_evaluation_page
from simcrop.core.data.augment import centre_start
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.ports import TruthSource

_ORDER = ("worst", "middle", "best")


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
    chosen = [name for kind in _ORDER for name in maps if name.partition("_")[0] == kind and maps[name]]

    def make() -> ScanPage | None:
        scans: list[ShownScan] = []
        shown: list[Shown] = []
        for number, name in enumerate(chosen):
            panel = small_png(figures[name], dpi=PANEL_DPI) if name in figures else None
            image, entries = _study(task, source, maps[name], number)
            head = f"{name.replace('_', ' ')}: {maps[name][0].study.study_id}"
            scans.append(ShownScan(image.voxels, image.affine, head, panel=panel))
            shown += entries
        checkpoint = str(task.checkpoint["path"])
        facts = about_model(checkpoint, task.model.recipe, None, "simcrop eval grounding")
        return ScanPage(
            title=f"Grounding: {', '.join(chosen)}",
            scans=scans,
            shown=shown,
            measure="cosine",
            entries="sentences",
            facts=facts | {"Sentences read among": "the findings of their reports"},
            cautions=cautions(worth_of_maps(checkpoint)),
        )

    write_evaluation_page(out, make if chosen else lambda: None)


def _study(
    task: LanguageTask, source: TruthSource, maps: Sequence[PlacedMap], number: int
) -> tuple[Image, list[Shown]]:
    reconstruction, recipe = maps[0].study.reconstructions[0], task.model.recipe
    image = image_of(shown_box(task.data.source.read_volume(reconstruction), recipe))
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
                notes=_fit(each, best, mask),
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
