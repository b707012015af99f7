"""The result of a segmentation as metrics, table and rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy
from simcrop.core.evaluation.bootstrap import Estimate, estimates, patient_weights
from simcrop.core.evaluation.overlap import weighted_means
from simcrop.core.randomness import derive_seed

_COLUMNS = (
    "study_id",
    "volume",
    "class",
    "dice",
    "dice_own_grid",
    "hausdorff95_mm",
    "volume_ml",
    "true_volume_ml",
    "file",
)
_MEAN = "mean over classes"


def segmentation_evaluation(
    studies: Sequence[SegmentedStudy],
    classes: Sequence[str],
    *,
    intervals: EvaluationSettings,
    seed: int,
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
        about: more of what metrics.json says: steps, number of studies.
        title: of the table.
        out: folder of the evaluation, which files in the rows are relative to.
        figures: name -> picture.
        warnings: what a reader must know.
    """
    scores = {
        "dice": [study.dice for study in studies],
        "dice_own_grid": [study.own_dice for study in studies],
        "hausdorff95_mm": [study.distances_mm for study in studies],
    }
    patients = [study.study.patient_id for study in studies]
    means = {
        key: _estimates(torch.tensor(rows, dtype=torch.float64), patients, intervals, seed)
        for key, rows in scores.items()
    }
    counts = [sum(not math.isnan(row[index]) for row in scores["dice"]) for index in range(len(classes))]
    entries = {
        name: {key: values[index] for key, values in means.items()} for index, name in enumerate([*classes, _MEAN])
    }
    mean = entries.pop(_MEAN)
    metrics = {
        **_tree(mean),
        "per_class": {
            name: {**_tree(entry), "num_studies": count}
            for (name, entry), count in zip(entries.items(), counts, strict=True)
        },
        "classes": ["background", *classes],
        "num_studies": len(studies),
        "confidence": intervals.confidence,
        **about,
    }
    return Evaluation(
        task="segment",
        metrics=metrics,
        predictions=Predictions(_COLUMNS, [row for study in studies for row in _rows(study, classes, out)]),
        table=_table({**entries, _MEAN: mean}, [*counts, len(studies)], intervals, title),
        figures=figures,
        warnings=warnings,
    )


def _estimates(
    scores: Float[Tensor, "n C"], patients: Sequence[str], intervals: EvaluationSettings, seed: int
) -> list[Estimate]:
    """The mean over the studies that have a class, for each class, and last the mean over classes."""
    value = weighted_means(scores, torch.ones(1, len(scores), dtype=torch.float64))[0]
    parts = patient_weights(patients, intervals.bootstrap, seed=derive_seed("segment", seed))
    return estimates(value, [weighted_means(scores, weights) for weights in parts], intervals.confidence)


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
    entries: Mapping[str, Mapping[str, Estimate]], counts: Sequence[int], intervals: EvaluationSettings, title: str
) -> Table:
    caption = (
        "Dice on the grid of segmentation, as published; own grid: of the written files, on the volumes' own voxels;\n"
        "HD95: 95 % Hausdorff distance. Classes that a study does not have are left out of its means."
    )
    table = Table(title=title, caption=caption, caption_justify="left")
    table.add_column("class")
    share = f"{intervals.confidence:.0%}".replace("%", " %")
    for name in ("Dice", f"{share} interval", "Dice, own grid", "HD95 mm", "studies"):
        table.add_column(name, justify="right")
    for (name, entry), count in zip(entries.items(), counts, strict=True):
        dice = entry["dice"]
        if name == _MEAN:
            table.add_section()
        table.add_row(
            name,
            _shown(dice.value, ".3f"),
            "" if math.isnan(dice.low) else f"{dice.low:.3f} - {dice.high:.3f}",
            _shown(entry["dice_own_grid"].value, ".3f"),
            _shown(entry["hausdorff95_mm"].value, ".1f"),
            str(count),
        )
    return table


def _shown(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
