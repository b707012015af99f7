"""Maps of sentences, ready to be drawn."""

import numpy as np
import torch

from simcrop.adapters.figures.similarity import SentenceMap
from simcrop.core.evaluation.map_overlap import voxel_map
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.recipe import ModelRecipe

SENTENCES = 4
"""Most sentences in one picture."""


def sentence_map(placed: PlacedMap, recipe: ModelRecipe) -> SentenceMap:
    """A sentence, its true place and its map, ready to be drawn.

    Args:
        placed: the sentence and its map.
        recipe: of the model.
    """
    place, inside = placed.place, placed.inside(recipe.patch_size)
    best = int(placed.similarity.where(placed.among, -torch.inf).argmax())
    cells = np.unravel_index(best, recipe.grid)
    h, w, d = (int(cell) * patch + patch // 2 for cell, patch in zip(cells, recipe.patch_size, strict=True))
    smooth = voxel_map(placed.similarity, recipe.grid, recipe.patch_size)
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
