"""Pictures of the maps of sentences beside the true places, and the choice of the studies that are drawn."""

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
import torch
from matplotlib.figure import Figure

from simcrop.adapters.figures.ct import Array
from simcrop.adapters.figures.similarity import SentenceMap, similarity_figure
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.map_overlap import voxel_map
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.recipe import ModelRecipe

SENTENCES = 4
"""Most sentences in one picture."""


def choose_studies(pointings: Mapping[str, Sequence[Pointing]], count: int) -> dict[str, str]:
    """Name of a picture -> study: those whose sentences find their places best, in the middle and worst.

    Args:
        pointings: study -> how each of its sentences points, at least one.
        count: studies of each kind, fewer where there are fewer.

    Returns:
        Studies by their share of hits, those with the same by the mean area under the curve. None stands twice.
    """

    def merit(study: str) -> tuple[float, float]:
        return fmean(each.hit for each in pointings[study]), fmean(each.auc for each in pointings[study])

    order = sorted(pointings, key=merit, reverse=True)
    middle = max(0, len(order) // 2 - count // 2)
    kinds = {"best": order[:count], "worst": order[::-1][:count], "middle": order[middle : middle + count]}
    chosen: dict[str, str] = {}
    for kind, studies in kinds.items():
        for number, study in enumerate(studies, 1):
            if study not in chosen.values():
                chosen[f"{kind}_{number}"] = study
    return chosen


def panel_figure(hu: Array, maps: Sequence[PlacedMap], recipe: ModelRecipe, *, title: str) -> Figure:
    """The maps of one study beside the true places.

    Args:
        hu: [H, W, D], the volume as the model saw it.
        maps: of its sentences; the first few are drawn.
        recipe: of the model.
        title: above the picture.
    """
    drawn = [sentence_map(each, recipe) for each in maps[:SENTENCES]]
    return similarity_figure(hu, drawn, recipe.spacing_mm, title=title)


def sentence_map(placed: PlacedMap, recipe: ModelRecipe) -> SentenceMap:
    """A sentence, its true place and its map, ready to be drawn."""
    place, inside = placed.place, placed.inside(recipe.matched_patch_size)
    best = int(placed.similarity.where(placed.among, -torch.inf).argmax())
    cells = np.unravel_index(best, recipe.matched_grid)
    h, w, d = (int(cell) * patch + patch // 2 for cell, patch in zip(cells, recipe.matched_patch_size, strict=True))
    smooth = voxel_map(placed.similarity, recipe.matched_grid, recipe.matched_patch_size)
    about = "normal structure" if place.finding is None else place.finding
    return SentenceMap(
        sentence=place.text,
        about=about if place.present or place.finding is None else f"{about} (denied)",
        mask=place.mask.numpy(),
        similarity=smooth.numpy(),
        best_voxel=(h, w, d),
        hit=bool(inside[best]),
        chance=float(inside[placed.among].double().mean()),
    )
