"""The studies of a segmentation that are shown."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMap
from simcrop.adapters.evaluation.segmentation.pictures import chosen_outcomes, outcome_figures
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy
from simcrop.core.data.study import Report, Study

CLASSES = torch.zeros(4, 5, 6, dtype=torch.uint8)
CLASSES[1:3, 1:3, 1:3] = 1
MAPS = cast(
    Any,
    SimpleNamespace(
        classes=("bone", "organ"),
        spacing_mm=(1.0, 1.0, 1.0),
        read=lambda name: OrganMap(torch.zeros(4, 5, 6, dtype=torch.int16), CLASSES, torch.eye(4)),
    ),
)


def studies(*dice: list[float]) -> list[SegmentedStudy]:
    return [
        SegmentedStudy(
            Study(f"s{number}", "p", Report("", ""), (f"v{number}",)), Path("f"), each, 1.0, each, each, each, each
        )
        for number, each in enumerate(dice)
    ]


def segmenter(voxels: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(voxels, dtype=torch.uint8)


def chosen(*dice: list[float]) -> dict[str, str]:
    return {
        each.name: each.study.study.study_id for each in chosen_outcomes(studies(*dice), cast(Any, segmenter), MAPS)
    }


def test_the_worst_the_median_and_the_best_by_mean_dice_are_shown() -> None:
    assert chosen([0.5, 0.7], [0.9, 0.9], [0.1, math.nan]) == {"worst": "s2", "median": "s0", "best": "s1"}
    assert chosen([0.5, 0.7], [0.9, 0.9]) == {"worst": "s0", "best": "s1"}
    assert chosen([0.5, 0.7]) == {"best": "s0"}


def test_a_study_without_organs_is_neither_worst_nor_best() -> None:
    nothing = [math.nan, math.nan]
    for order in ([nothing, [0.2, 0.2], [0.8, 0.8]], [[0.8, 0.8], [0.2, 0.2], nothing]):
        found = chosen(*order)
        assert order[int(found["worst"][1:])] == [0.2, 0.2]
        assert order[int(found["best"][1:])] == [0.8, 0.8]
    assert chosen(nothing) == {"best": "s0"}


def test_each_has_a_picture_that_says_what_it_is() -> None:
    outcomes = chosen_outcomes(studies([0.5, 0.7], [0.9, 0.9]), cast(Any, segmenter), MAPS)
    figures = outcome_figures(outcomes, MAPS, 5)
    assert [figure.get_suptitle() for figure in figures.values()] == [
        "worst of 5 held-out studies: s0\nDice: bone 0.500, organ 0.700",
        "best of 5 held-out studies: s1\nDice: bone 0.900, organ 0.900",
    ]
