"""The result of a segmentation as metrics, table and rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.box import HEAVY_HEAD
from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy
from simcrop.adapters.evaluation.tables import cell, draws_of, interval_head, results_table
from simcrop.core.evaluation.bootstrap import Draws, Estimate, estimated
from simcrop.core.evaluation.overlap import weighted_means
from simcrop.core.randomness import derive_seed

_SCORES = ("dice", "dice_own_grid", "hausdorff95_mm")
_COLUMNS = ("study_id", "volume", "class", *_SCORES, "volume_ml", "true_volume_ml", "file")
_MEAN = "mean over classes"
_WITH_BACKGROUND = "mean with background"


def segmentation_evaluation(
    studies: Sequence[SegmentedStudy],
    classes: Sequence[str],
    *,
    intervals: EvaluationSettings,
    seed: int,
    with_background: bool,
    about: Mapping[str, Any],
    title: str,
    out: Path,
    figures: Mapping[str, Figure],
    warnings: Sequence[str],
) -> Evaluation:
    """Means with intervals over patients, and a row for each study and class.

    Args:
        studies: the held-out studies, at least one.
        classes: their names.
        intervals: their draws and confidence.
        seed: of the run.
        with_background: whether a mean Dice that counts the background as a class is reported too.
        about: more of what metrics.json says: steps, number of studies.
        title: of the table.
        out: folder of the evaluation, which files in the rows are relative to.
        figures: name -> picture.
        warnings: what a reader must know.
    """
    found = zip(*((study.dice, study.own_dice, study.distances_mm) for study in studies), strict=True)
    scores = dict(zip(_SCORES, found, strict=True))
    patients = [study.study.patient_id for study in studies]
    draws = draws_of(intervals, derive_seed("segment", seed))
    means = {key: _means(rows, patients, draws) for key, rows in scores.items()}
    entries = {
        name: {key: values[index] for key, values in means.items()} for index, name in enumerate([*classes, _MEAN])
    }
    background: Estimate | None = None
    if with_background:
        rows = [[study.background_dice, *study.dice] for study in studies]
        background = _means(rows, patients, draws)[-1]
    counts = {name: sum(not math.isnan(row[index]) for row in scores["dice"]) for index, name in enumerate(classes)}
    metrics = {
        **_tree(entries[_MEAN]),
        **({} if background is None else {"dice_with_background": asdict(background)}),
        "per_class": {name: {**_tree(entries[name]), "num_studies": counts[name]} for name in classes},
        "classes": ["background", *classes],
        "num_studies": len(studies),
        "confidence": intervals.confidence,
        **about,
    }
    return Evaluation(
        task="segment",
        metrics=metrics,
        predictions=Predictions(_COLUMNS, [row for study in studies for row in _rows(study, classes, out)]),
        table=_table(entries, {**counts, _MEAN: len(studies)}, intervals, title, background),
        figures=figures,
        warnings=warnings,
    )


def _means(scores: Sequence[Sequence[float]], patients: Sequence[str], draws: Draws) -> list[Estimate]:
    """The mean over the studies that have a class, for each class, and last the mean over classes."""
    return estimated(partial(weighted_means, torch.tensor(scores, dtype=torch.float64)), patients, **draws)


def _tree(entry: Mapping[str, Estimate]) -> dict[str, Any]:
    return {key: asdict(value) for key, value in entry.items()}


def _rows(found: SegmentedStudy, classes: Sequence[str], out: Path) -> list[list[object]]:
    study, file = found.study, found.file.relative_to(out.resolve()).as_posix()
    columns = (found.dice, found.own_dice, found.distances_mm, found.volumes_ml, found.true_volumes_ml)
    return [
        [study.study_id, study.reconstructions[0], name, *(_cell(values[index]) for values in columns), file]
        for index, name in enumerate(classes)
    ]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _table(
    entries: Mapping[str, Mapping[str, Estimate]],
    counts: Mapping[str, int],
    intervals: EvaluationSettings,
    title: str,
    background: Estimate | None,
) -> Table:
    heads = ("Dice", interval_head(intervals), "Dice, own grid", "HD95 mm", "studies")
    table = results_table(title, "class", heads, no_wrap=False, kind=HEAVY_HEAD)
    for name, entry in entries.items():
        dice, own, distance = (entry[key] for key in _SCORES)
        if name == _MEAN:
            table.add_section()
        table.add_row(
            name, cell(dice.value), _between(dice), cell(own.value), cell(distance.value, ".1f"), str(counts[name])
        )
    if background is not None:
        table.add_row(_WITH_BACKGROUND, cell(background.value), _between(background), "", "", str(counts[_MEAN]))
    table.caption = (
        "Dice on the grid of segmentation, as published; own grid: of the written files, on the volumes' own voxels;\n"
        "HD95: 95 % Hausdorff distance. Classes that a study does not have are left out of its means."
    )
    return table


def _between(dice: Estimate) -> str:
    return "" if math.isnan(dice.low) else f"{dice.low:.3f} - {dice.high:.3f}"
