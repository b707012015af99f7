"""What zero-shot reading of findings is worth, as an evaluation writes and prints it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich import box
from rich.table import Table

from simcrop.adapters.evaluation_config import LabelSettings
from simcrop.adapters.evaluation_output import Evaluation, Predictions
from simcrop.adapters.prompt_features import ReadPrompts
from simcrop.adapters.roc_pictures import RocPanel, roc_figure
from simcrop.core.evaluation.classification import Estimate, Predicted, measure
from simcrop.core.evaluation.roc import roc_curves
from simcrop.core.study import Study

_EXAMPLES = 5
"""Sentences of either kind that metrics.json shows."""


@dataclass(frozen=True, eq=False)
class ZeroShotOutcome:
    """Scores of the test set.

    Attributes:
        names: of the findings.
        studies: the test set, in the order of the scores.
        predicted: scores (the higher the surer, no probabilities) and truth.
        prompts: of every finding.
        placed: findings that the test set has masks of.
        warnings: sentences for the reader.
    """

    names: Sequence[str]
    studies: Sequence[Study]
    predicted: Predicted
    prompts: Mapping[str, ReadPrompts]
    placed: frozenset[str]
    warnings: Sequence[str]


def zeroshot_report(outcome: ZeroShotOutcome, settings: LabelSettings, *, seed: int) -> Evaluation:
    """Areas under the curve with intervals, predictions, table and curves.

    Args:
        outcome: on the test set.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    predicted = outcome.predicted
    options: dict[str, Any] = {"num_draws": settings.bootstrap, "confidence": settings.confidence, "seed": seed}
    measured = measure(predicted, **options)
    areas, mean = measured.by_label["auroc"], measured.overall["auroc"]
    placed_mean = mean
    if outcome.placed:
        placed_mean = measure(_columns(outcome), **options).overall["auroc"]
    curves, mean_curve = roc_curves(predicted, **options)
    panels = [RocPanel(*each) for each in zip(outcome.names, curves, areas, strict=True)]
    if len(panels) > 1:
        panels.insert(0, RocPanel("Mean over findings", mean_curve, mean, is_mean=True))
    title = f"zero-shot: {len(outcome.studies)} test studies"
    band = f"; bands: {100 * settings.confidence:g} % intervals over patients" if settings.bootstrap else ""
    unmeasured = [name for name, area in zip(outcome.names, areas, strict=True) if math.isnan(area.value)]
    one_class = [f"{', '.join(unmeasured)}: not measured, the test set has one class alone"] if unmeasured else []
    return Evaluation(
        task="zeroshot",
        metrics=_tree(outcome, areas, mean, placed_mean),
        predictions=Predictions(("study_id", "patient_id", "finding", "truth", "score"), list(_rows(outcome))),
        table=_table(outcome, areas, [mean, placed_mean], title, settings),
        figures={"roc": roc_figure(panels, title=title + band)},
        warnings=(*outcome.warnings, *one_class),
    )


def _columns(outcome: ZeroShotOutcome) -> Predicted:
    """The findings with a place alone."""
    chosen = torch.tensor([name in outcome.placed for name in outcome.names])
    all_of = outcome.predicted
    return Predicted(
        all_of.scores[:, chosen], all_of.truth[:, chosen], all_of.patients, all_of.exclusive, all_of.learned[chosen]
    )


def _tree(outcome: ZeroShotOutcome, areas: Sequence[Estimate], mean: Estimate, placed_mean: Estimate) -> dict[str, Any]:
    counts = outcome.predicted.truth.sum(0).tolist()
    return {
        "auroc": asdict(mean),
        "auroc_with_place": asdict(placed_mean),
        "num_test": len(outcome.studies),
        "findings": {
            name: {
                "auroc": asdict(area),
                "num_positive": count,
                "has_place": name in outcome.placed,
                "prompts": _described(outcome.prompts[name]),
            }
            for name, area, count in zip(outcome.names, areas, counts, strict=True)
        },
    }


def _described(prompts: ReadPrompts) -> dict[str, Any]:
    texts = prompts.texts
    return {
        "source": "training reports" if prompts.from_reports else "sentences of their own",
        "num_present": len(texts.present),
        "num_absent": len(texts.absent),
        "present": texts.present[:_EXAMPLES],
        "absent": texts.absent[:_EXAMPLES],
    }


def _rows(outcome: ZeroShotOutcome) -> Iterator[tuple[object, ...]]:
    predicted = outcome.predicted
    for study, scores, truth in zip(
        outcome.studies, predicted.scores.tolist(), predicted.truth.int().tolist(), strict=True
    ):
        for name, score, present in zip(outcome.names, scores, truth, strict=True):
            yield study.study_id, study.patient_id, name, present, f"{score:.9g}"


def _table(
    outcome: ZeroShotOutcome,
    areas: Sequence[Estimate],
    means: Sequence[Estimate],
    title: str,
    settings: LabelSettings,
) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("finding")
    for name in ("with it", "place", "AUROC", f"{100 * settings.confidence:g} % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, area, count in zip(outcome.names, areas, outcome.predicted.truth.sum(0).tolist(), strict=True):
        table.add_row(name, str(count), "yes" if name in outcome.placed else "-", *_cells(area))
    table.add_section()
    table.add_row("mean over findings", "", "", *_cells(means[0]))
    if 0 < len(outcome.placed) < len(outcome.names):
        table.add_row("mean over those with a place", "", "", *_cells(means[1]))
    table.caption = (
        f"with it: test studies that have the finding; place: the test set has masks of it; chance is 0.5; intervals: "
        f"patients drawn again, {settings.bootstrap} times"
    )
    return table


def _cells(area: Estimate) -> tuple[str, str]:
    value = "-" if math.isnan(area.value) else f"{area.value:.3f}"
    return value, "-" if math.isnan(area.low) else f"{area.low:.3f} to {area.high:.3f}"
