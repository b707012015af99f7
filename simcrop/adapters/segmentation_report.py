"""The result of a segmentation as metrics, table and rows."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from simcrop.adapters.evaluation_config import LabelSettings
from simcrop.adapters.evaluation_output import Evaluation, Predictions
from simcrop.adapters.segmentation_results import SegmentedStudy
from simcrop.core.evaluation.bootstrap import interval, patient_weights
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
    labels: LabelSettings,
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
        labels: how intervals are made.
        seed: of the run.
        about: more of what metrics.json says: steps, number of studies.
        title: of the table.
        out: folder of the evaluation, which files in the rows are relative to.
        figures: name -> picture.
        warnings: what a reader must know.
    """
    dice = torch.tensor([study.dice for study in studies], dtype=torch.float64)
    own = torch.tensor([study.own_dice for study in studies], dtype=torch.float64)
    distances = torch.tensor([study.distances_mm for study in studies], dtype=torch.float64)
    means = {"dice": _means(dice), "dice_own_grid": _means(own), "hausdorff95_mm": _means(distances)}
    bounds = _bounds(dice, [study.study.patient_id for study in studies], labels, seed)
    counts = [int(count) for count in (~dice.isnan()).sum(0)]
    entries = {
        name: {key: values[index] for key, values in means.items()} | {"dice_interval": bounds[index]}
        for index, name in enumerate([*classes, _MEAN])
    }
    mean = entries.pop(_MEAN)
    metrics = {
        **mean,
        "per_class": {
            name: {**entry, "num_studies": count} for (name, entry), count in zip(entries.items(), counts, strict=True)
        },
        "classes": ["background", *classes],
        "num_studies": len(studies),
        "confidence": labels.confidence,
        **about,
    }
    return Evaluation(
        task="segment",
        metrics=metrics,
        predictions=Predictions(_COLUMNS, [row for study in studies for row in _rows(study, classes, out)]),
        table=_table({**entries, _MEAN: mean}, [*counts, len(studies)], labels, title),
        figures=figures,
        warnings=warnings,
    )


def _means(scores: Tensor) -> list[float]:
    return weighted_means(scores, torch.ones(1, len(scores), dtype=torch.float64))[0].tolist()


def _bounds(scores: Tensor, patients: Sequence[str], labels: LabelSettings, seed: int) -> list[list[float]]:
    """(low, high) for each class and the mean over them; NaN where no interval is asked for."""
    if not labels.bootstrap:
        return [[math.nan, math.nan]] * (scores.shape[1] + 1)
    parts = patient_weights(patients, labels.bootstrap, seed=derive_seed("segment", seed))
    drawn = torch.cat([weighted_means(scores, weights) for weights in parts])
    return interval(drawn, labels.confidence).T.tolist()


def _rows(found: SegmentedStudy, classes: Sequence[str], out: Path) -> list[list[object]]:
    study, file = found.study, found.file.relative_to(out.resolve()).as_posix()
    columns = (found.dice, found.own_dice, found.distances_mm, found.volumes_ml, found.true_volumes_ml)
    return [
        [study.study_id, study.reconstructions[0], name, *(_cell(values[index]) for values in columns), file]
        for index, name in enumerate(classes)
    ]


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _table(entries: Mapping[str, Mapping[str, Any]], counts: Sequence[int], labels: LabelSettings, title: str) -> Table:
    caption = (
        "Dice on the grid of segmentation, as published; own grid: of the written files, on the volumes' own voxels;\n"
        "HD95: 95 % Hausdorff distance. Classes that a study does not have are left out of its means."
    )
    table = Table(title=title, caption=caption, caption_justify="left")
    table.add_column("class")
    share = f"{labels.confidence:.0%}".replace("%", " %")
    for name in ("Dice", f"{share} interval", "Dice, own grid", "HD95 mm", "studies"):
        table.add_column(name, justify="right")
    for (name, entry), count in zip(entries.items(), counts, strict=True):
        low, high = entry["dice_interval"]
        if name == _MEAN:
            table.add_section()
        table.add_row(
            name,
            _shown(entry["dice"], ".3f"),
            "" if math.isnan(low) else f"{low:.3f} - {high:.3f}",
            _shown(entry["dice_own_grid"], ".3f"),
            _shown(entry["hausdorff95_mm"], ".1f"),
            str(count),
        )
    return table


def _shown(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
