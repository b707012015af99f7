"""The result of a probe, of nearest neighbours or of a fine-tuned classifier, as it is written and printed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.decisions import Decisions, decisions_table
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.tables import (
    cell,
    draws_of,
    interval_cell,
    interval_head,
    interval_note,
    results_table,
)
from simcrop.adapters.figures.roc import roc_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate
from simcrop.core.evaluation.classification import Measurement, Predicted, measure
from simcrop.core.evaluation.labels import LearnedFrom
from simcrop.core.evaluation.settings import LabelSettings

_SHOWN = {"accuracy": "accuracy", "f1": "F1", "precision": "precision"}


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions of the test set, and what they come from.

    Attributes:
        task: name of the command.
        names: of the labels.
        studies: the test set, in the order of the predictions.
        predicted: scores and truth.
        learned_from: what the studies hold behind the predictions.
        selection: studies that settings were chosen by.
        chosen: settings that the selection patients chose, and how these were told.
        warnings: sentences for the reader.
        thresholds: of each finding, chosen by the selection patients, NaN where they could not; empty where nobody
            chose any, as of exclusive classes.
    """

    task: str
    names: Sequence[str]
    studies: Sequence[Study]
    predicted: Predicted
    learned_from: LearnedFrom
    selection: Sequence[Study]
    chosen: Mapping[str, Any]
    warnings: Sequence[str]
    thresholds: Sequence[float] = ()


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
    draws = draws_of(intervals, seed)
    measured = measure(predicted, **draws)
    decisions = Decisions.of(predicted, outcome.thresholds, draws)
    tables: list[Table] = []
    if decisions is not None:
        table = decisions_table(outcome.names, decisions, measured, chosen_by="the selection patients", fixed_at="0.5")
        tables.append(table)
    title = f"{outcome.task}: {len(outcome.studies)} test studies, {labels.percent:g} % of the labels"
    return Evaluation(
        task=outcome.task,
        metrics=_tree(outcome, measured, decisions, labels, intervals),
        predictions=Predictions(("study_id", "patient_id", "label", "truth", "score"), list(_rows(outcome))),
        table=_table(outcome, measured, intervals, title),
        figures={"roc": roc_figure(predicted, measured, outcome.names, "labels", title=title, **draws)},
        warnings=(*outcome.warnings, *_unmeasured(outcome, measured.by_label["auroc"])),
        more_tables=tables,
    )


def _tree(
    outcome: Outcome,
    measured: Measurement,
    decisions: Decisions | None,
    settings: LabelSettings,
    intervals: EvaluationSettings,
) -> dict[str, Any]:
    predicted = outcome.predicted
    labels = {
        name: {
            "num_positive_learned": outcome.learned_from.num_positive[index],
            "num_positive_test": int(predicted.truth[:, index].sum()),
            **{metric: asdict(estimates[index]) for metric, estimates in measured.by_label.items()},
            **({} if decisions is None else {"at_threshold": decisions.of_finding(index)}),
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
        **({} if decisions is None else {"at_thresholds": decisions.overall()}),
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
    heads = ("learned", "test", "AUROC", interval_head(intervals), *_SHOWN.values())
    table = results_table(title, "label", heads)
    for index, name in enumerate(outcome.names):
        counts = (outcome.learned_from.num_positive[index], int(outcome.predicted.truth[:, index].sum()))
        auroc = measured.by_label["auroc"][index]
        shown = [cell(measured.by_label[metric][index].value) for metric in _SHOWN]
        if outcome.predicted.exclusive:
            shown[0] = "-"  # of one class against the others it says little
        table.add_row(name, *map(str, counts), cell(auroc.value), interval_cell(auroc), *shown)
    table.add_section()
    overall, auroc = measured.overall, measured.overall["auroc"]
    means = (cell(overall["accuracy"].value), cell(overall["f1_macro"].value), "-")
    table.add_row("mean over labels", "", "", cell(auroc.value), interval_cell(auroc), *means)
    if not outcome.predicted.exclusive:
        pooled = (cell(overall[name].value) for name in ("f1_micro", "precision_micro"))
        table.add_row("all answers pooled", "", "", "", "", "", *pooled)
    threshold = "the most probable class" if outcome.predicted.exclusive else "a probability of 0.5 or more"
    table.caption = (
        f"learned, test: studies with the label, of {outcome.learned_from.num_studies} and {len(outcome.studies)}; "
        f"accuracy, F1, precision: {threshold} counts as present; {interval_note(intervals)}"
        f"{_read_outs(outcome.chosen)}"
    )
    return table


def _read_outs(chosen: Mapping[str, Any]) -> str:
    """Which features won where there were several, and how each told the selection patients."""
    if "read_outs" not in chosen:
        return ""
    areas = ", ".join(f"{name} {cell(score['auroc'])}" for name, score in chosen["read_outs"].items())
    return f"\nfeatures: {chosen['features']}, by AUROC on the selection patients: {areas}"


def _unmeasured(outcome: Outcome, areas: Sequence[Estimate]) -> Iterator[str]:
    known = dict(zip(outcome.names, outcome.predicted.learned.tolist(), strict=True))
    if not_learned := [name for name, is_known in known.items() if not is_known]:
        yield (
            f"{', '.join(not_learned)}: not measured, as the studies learned from have one class of it alone; raise "
            "labels.percent"
        )
    if flat := [name for name, area in zip(known, areas, strict=True) if known[name] and math.isnan(area.value)]:
        yield f"{', '.join(flat)}: no area under the curve, as the test set has one class of it alone"
