"""The studies of a segmentation that its pictures and its page show: the worst, the median and the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMap, OrganMaps
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy, Segmenter
from simcrop.adapters.figures.organs import overlay_figure
from simcrop.core.evaluation.metrics import mean_present


@dataclass(frozen=True, eq=False)
class Outcome:
    """A study that is shown.

    Attributes:
        name: worst, median or best.
        study: its scores.
        organs: its volume and true classes, on the grid of segmentation.
        predicted: the classes that the network finds, on the same grid.
    """

    name: str
    study: SegmentedStudy
    organs: OrganMap
    predicted: UInt8[Tensor, "H W D"]


def chosen_outcomes(found: Sequence[SegmentedStudy], segmenter: Segmenter, maps: OrganMaps) -> list[Outcome]:
    """The `worst`, the `median` and the `best` study by mean Dice, segmented once more to be shown; each study once.

    Args:
        found: the measured studies, at least one; those that have none of the organs are passed over.
        segmenter: that made them.
        maps: their volumes.
    """
    told = [study for study in found if not math.isnan(mean_present(study.dice))]
    ranked = sorted(told or found, key=lambda study: mean_present(study.dice))
    chosen = {rank: name for name, rank in (("worst", 0), ("median", len(ranked) // 2), ("best", len(ranked) - 1))}
    outcomes: list[Outcome] = []
    for rank, name in chosen.items():
        organs = maps.read(ranked[rank].study.reconstructions[0])
        outcomes.append(Outcome(name, ranked[rank], organs, segmenter(organs.voxels)))
    return outcomes


def outcome_figures(outcomes: Sequence[Outcome], maps: OrganMaps, num_studies: int) -> dict[str, Figure]:
    """A picture of each, by its name.

    Args:
        outcomes: from `chosen_outcomes`.
        maps: that they are from.
        num_studies: among which they were chosen.
    """
    figures: dict[str, Figure] = {}
    for outcome in outcomes:
        study, hu, truth = outcome.study, outcome.organs.voxels.numpy(), outcome.organs.classes.numpy()
        scores = ", ".join(f"{organ} {score:.3f}" for organ, score in zip(maps.classes, study.dice, strict=True))
        title = f"{outcome.name} of {num_studies} held-out studies: {study.study.study_id}\nDice: {scores}"
        predicted = np.asarray(outcome.predicted.numpy())
        figures[outcome.name] = overlay_figure(hu, predicted, truth, maps.classes, maps.spacing_mm, title=title)
    return figures
