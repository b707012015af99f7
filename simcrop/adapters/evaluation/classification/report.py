"""What a probe, nearest neighbours or a fine-tuned classifier are worth, as an evaluation writes and prints it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.figures.roc import RocPanel, roc_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate
from simcrop.core.evaluation.classification import Measurement, Predicted, measure
from simcrop.core.evaluation.labels import LearnedFrom
from simcrop.core.evaluation.roc import roc_curves
from simcrop.core.evaluation.settings import LabelSettings

_SHOWN = ("accuracy", "f1", "precision")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was predicted of the test set, and by what.

    Attributes:
        task: name of the command.
        names: of the labels.
        studies: the test set, in the order of the predictions.
        predicted: scores and truth.
        learned_from: what the studies hold behind the predictions.
        selection: studies that settings were chosen by.
        chosen: settings that the selection patients chose, and how these were told.
        warnings: sentences for the reader.
    """

    task: str
    names: Sequence[str]
    studies: Sequence[Study]
    predicted: Predicted
    learned_from: LearnedFrom
    selection: Sequence[Study]
    chosen: Mapping[str, Any]
    warnings: Sequence[str]


def classification_report(
    outcome: Outcome, labels: LabelSettings, intervals: EvaluationSettings, *, seed: int
) -> Evaluation:
    """Metrics with intervals, predictions, table and curves.

    Args:
        outcome: on the test set.
        labels: protocol, and share of them.
        intervals: their draws and confidence.
        seed: of the bootstrap.
    """
    predicted = outcome.predicted
    num_draws, confidence = intervals.bootstrap, intervals.confidence
    measured = measure(predicted, num_draws=num_draws, confidence=confidence, seed=seed)
    curves, mean = roc_curves(predicted, num_draws=num_draws, confidence=confidence, seed=seed)
    areas = measured.by_label["auroc"]
    panels = [RocPanel(*each) for each in zip(outcome.names, curves, areas, strict=True)]
    if len(panels) > 1:
        panels.insert(0, RocPanel("Mean over labels", mean, measured.overall["auroc"], is_mean=True))
    title = f"{outcome.task}: {len(outcome.studies)} test studies, {_percent(labels.percent)} of the labels"
    band = f"; bands: {_percent(100 * confidence)} intervals over patients" if num_draws else ""
    return Evaluation(
        task=outcome.task,
        metrics=_tree(outcome, measured, labels, intervals),
        predictions=Predictions(("study_id", "patient_id", "label", "truth", "score"), list(_rows(outcome))),
        table=_table(outcome, measured, intervals, title),
        figures={"roc": roc_figure(panels, title=title + band)},
        warnings=(*outcome.warnings, *_unmeasured(outcome, areas)),
    )


def _tree(
    outcome: Outcome, measured: Measurement, settings: LabelSettings, intervals: EvaluationSettings
) -> dict[str, Any]:
    predicted = outcome.predicted
    labels = {
        name: {
            "num_positive_learned": outcome.learned_from.num_positive[index],
            "num_positive_test": int(predicted.truth[:, index].sum()),
            **{metric: asdict(estimates[index]) for metric, estimates in measured.by_label.items()},
        }
        for index, name in enumerate(outcome.names)
    }
    return {
        "protocol": settings.protocol,
        "percent": settings.percent,
        "labels_are": "exclusive classes" if predicted.exclusive else "findings",
        "num_learned_from": outcome.learned_from.num_studies,
        "num_learned_from_patients": outcome.learned_from.num_patients,
        "num_selection": len(outcome.selection),
        "num_selection_patients": _num_patients(outcome.selection),
        "num_test": len(outcome.studies),
        "num_test_patients": _num_patients(outcome.studies),
        "chosen": outcome.chosen,
        "confidence": intervals.confidence,
        "bootstrap": intervals.bootstrap,
        **{metric: asdict(estimate) for metric, estimate in measured.overall.items()},
        "labels": labels,
    }


def _num_patients(studies: Sequence[Study]) -> int:
    return len({study.patient_id for study in studies})


def _rows(outcome: Outcome) -> Iterator[tuple[object, ...]]:
    predicted = outcome.predicted
    shown = predicted.learned | predicted.exclusive
    for study, scores, truth in zip(
        outcome.studies, predicted.scores.tolist(), predicted.truth.int().tolist(), strict=True
    ):
        for index, name in enumerate(outcome.names):
            score = f"{scores[index]:.9g}" if shown[index] else ""
            yield study.study_id, study.patient_id, name, truth[index], score


def _table(outcome: Outcome, measured: Measurement, intervals: EvaluationSettings, title: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("label")
    for name in ("learned", "test", "AUROC", f"{_percent(100 * intervals.confidence)} interval", *_SHOWN):
        table.add_column("F1" if name == "f1" else name, justify="right", no_wrap=True)
    for index, name in enumerate(outcome.names):
        counts = (outcome.learned_from.num_positive[index], int(outcome.predicted.truth[:, index].sum()))
        auroc = measured.by_label["auroc"][index]
        shown = [_cell(measured.by_label[metric][index]) for metric in _SHOWN]
        if outcome.predicted.exclusive:
            shown[0] = "-"  # of one class against the others it says little
        table.add_row(name, *map(str, counts), _cell(auroc), _range(auroc), *shown)
    table.add_section()
    overall, auroc = measured.overall, measured.overall["auroc"]
    means = (_cell(overall["accuracy"]), _cell(overall["f1_macro"]), "-")
    table.add_row("mean over labels", "", "", _cell(auroc), _range(auroc), *means)
    if not outcome.predicted.exclusive:
        pooled = (_cell(overall["f1_micro"]), _cell(overall["precision_micro"]))
        table.add_row("all answers pooled", "", "", "", "", "", *pooled)
    threshold = "the most probable class" if outcome.predicted.exclusive else "a probability of 0.5 or more"
    table.caption = (
        f"learned, test: studies with the label, of {outcome.learned_from.num_studies} and {len(outcome.studies)}; "
        f"accuracy, F1, precision: {threshold} counts as present; intervals: patients drawn again, "
        f"{intervals.bootstrap} times"
    )
    return table


def _unmeasured(outcome: Outcome, areas: Sequence[Estimate]) -> Iterator[str]:
    predicted = outcome.predicted
    learned = [name for name, known in zip(outcome.names, predicted.learned.tolist(), strict=True) if not known]
    if learned:
        yield (
            f"{', '.join(learned)}: not measured, as the studies learned from have one class of it alone; raise "
            "labels.percent"
        )
    tested = [
        name
        for name, known, area in zip(outcome.names, predicted.learned.tolist(), areas, strict=True)
        if known and math.isnan(area.value)
    ]
    if tested:
        yield f"{', '.join(tested)}: no area under the curve, as the test set has one class of it alone"


def _cell(estimate: Estimate) -> str:
    return "-" if math.isnan(estimate.value) else f"{estimate.value:.3f}"


def _range(estimate: Estimate) -> str:
    return "-" if math.isnan(estimate.low) else f"{estimate.low:.3f} to {estimate.high:.3f}"


def _percent(value: float) -> str:
    return f"{value:g} %"
