"""Pictures of grounding: hit rates beside chance, and maps of studies chosen by rule."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from simcrop.adapters.evaluation.language.drawn_maps import SENTENCES, sentence_map
from simcrop.adapters.figures.ct import Array
from simcrop.adapters.figures.similarity import similarity_figure
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.recipe import ModelRecipe


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
