"""What zero-shot reading of findings is worth, as an evaluation writes and prints it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich import box
from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.figures.roc import RocPanel, roc_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate
from simcrop.core.evaluation.classification import Predicted, measure
from simcrop.core.evaluation.prompt_features import ReadPrompts
from simcrop.core.evaluation.roc import roc_curves

_EXAMPLES = 5
"""Sentences of either kind that metrics.json shows."""


@dataclass(frozen=True, eq=False)
class ZeroShotOutcome:
    """Scores of the test set.

    Attributes:
        names: of the findings.
        studies: the test set, in the order of the scores.
        predicted: scores (the higher the surer, no probabilities) and truth.
        asserted: the same with the sentences that assert a finding alone, nothing taken off for those that deny it.
        prompts: of every finding.
        placed: findings that the test set has masks of.
        warnings: sentences for the reader.
    """

    names: Sequence[str]
    studies: Sequence[Study]
    predicted: Predicted
    asserted: Predicted
    prompts: Mapping[str, ReadPrompts]
    placed: frozenset[str]
    warnings: Sequence[str]


def zeroshot_report(outcome: ZeroShotOutcome, settings: EvaluationSettings, *, seed: int) -> Evaluation:
    """Areas under the curve with intervals, predictions, table and curves.

    Args:
        outcome: on the test set.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    predicted = outcome.predicted
    options: dict[str, Any] = {"num_draws": settings.bootstrap, "confidence": settings.confidence, "seed": seed}
    areas, asserted = (_areas(each, outcome, options) for each in (predicted, outcome.asserted))
    curves, mean_curve = roc_curves(predicted, **options)
    panels = [RocPanel(*each) for each in zip(outcome.names, curves, areas.by_finding, strict=True)]
    if len(panels) > 1:
        panels.insert(0, RocPanel("Mean over findings", mean_curve, areas.mean, is_mean=True))
    title = f"zero-shot: {len(outcome.studies)} test studies"
    band = f"; bands: {100 * settings.confidence:g} % intervals over patients" if settings.bootstrap else ""
    unmeasured = [name for name, area in zip(outcome.names, areas.by_finding, strict=True) if math.isnan(area.value)]
    one_class = [f"{', '.join(unmeasured)}: not measured, the test set has one class alone"] if unmeasured else []
    return Evaluation(
        task="zeroshot",
        metrics=_tree(outcome, areas, asserted),
        predictions=Predictions(
            ("study_id", "patient_id", "finding", "truth", "score", "asserted"), list(_rows(outcome))
        ),
        table=_table(outcome, areas, asserted, title, settings),
        figures={"roc": roc_figure(panels, title=title + band)},
        warnings=(*outcome.warnings, *one_class),
    )


@dataclass(frozen=True)
class _Areas:
    """Areas under the curve of each finding, their mean, and that over findings with a place (all where none has)."""

    by_finding: Sequence[Estimate]
    mean: Estimate
    placed_mean: Estimate


def _areas(predicted: Predicted, outcome: ZeroShotOutcome, options: Mapping[str, Any]) -> _Areas:
    measured = measure(predicted, **options)
    mean = placed_mean = measured.overall["auroc"]
    if outcome.placed:
        chosen = torch.tensor([name in outcome.placed for name in outcome.names])
        scores, truth, learned = predicted.scores[:, chosen], predicted.truth[:, chosen], predicted.learned[chosen]
        placed = Predicted(scores, truth, predicted.patients, predicted.exclusive, learned)
        placed_mean = measure(placed, **options).overall["auroc"]
    return _Areas(measured.by_label["auroc"], mean, placed_mean)


def _tree(outcome: ZeroShotOutcome, areas: _Areas, asserted: _Areas) -> dict[str, Any]:
    counts = outcome.predicted.truth.sum(0).tolist()
    return {
        "auroc": asdict(areas.mean),
        "auroc_with_place": asdict(areas.placed_mean),
        "auroc_asserted": asdict(asserted.mean),
        "auroc_asserted_with_place": asdict(asserted.placed_mean),
        "num_test": len(outcome.studies),
        "findings": {
            name: {
                "auroc": asdict(area),
                "auroc_asserted": asdict(other),
                "num_positive": count,
                "has_place": name in outcome.placed,
                "prompts": _described(outcome.prompts[name]),
            }
            for name, area, other, count in zip(
                outcome.names, areas.by_finding, asserted.by_finding, counts, strict=True
            )
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
    tables = (outcome.predicted.scores, outcome.asserted.scores, outcome.predicted.truth.int())
    for study, *columns in zip(outcome.studies, *(table.tolist() for table in tables), strict=True):
        for name, score, asserted, present in zip(outcome.names, *columns, strict=True):
            yield study.study_id, study.patient_id, name, present, f"{score:.9g}", f"{asserted:.9g}"


def _table(
    outcome: ZeroShotOutcome, areas: _Areas, asserted: _Areas, title: str, settings: EvaluationSettings
) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("finding")
    for name in ("with it", "place", "AUROC", f"{100 * settings.confidence:g} % interval", "asserted"):
        table.add_column(name, justify="right", no_wrap=True)
    counts = outcome.predicted.truth.sum(0).tolist()
    for name, area, other, count in zip(outcome.names, areas.by_finding, asserted.by_finding, counts, strict=True):
        table.add_row(name, str(count), "yes" if name in outcome.placed else "-", *_cells(area, other))
    table.add_section()
    table.add_row("mean over findings", "", "", *_cells(areas.mean, asserted.mean))
    if 0 < len(outcome.placed) < len(outcome.names):
        table.add_row("mean over those with a place", "", "", *_cells(areas.placed_mean, asserted.placed_mean))
    table.caption = (
        "with it: test studies that have the finding; place: the test set has masks of it; asserted: AUROC without the "
        f"sentences that deny it; chance is 0.5; intervals: patients drawn again, {settings.bootstrap} times"
    )
    return table


def _cells(area: Estimate, asserted: Estimate) -> tuple[str, str, str]:
    value, other = ("-" if math.isnan(each.value) else f"{each.value:.3f}" for each in (area, asserted))
    return value, "-" if math.isnan(area.low) else f"{area.low:.3f} to {area.high:.3f}", other
