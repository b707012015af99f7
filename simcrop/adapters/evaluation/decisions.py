"""Decisions on findings at thresholds that the selection patients chose, beside those at a fixed one."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from simcrop.adapters.evaluation.tables import cell, results_table
from simcrop.core.evaluation.bootstrap import Draws
from simcrop.core.evaluation.classification import Measurement, Predicted, measure

_SHOWN = {
    "f1": "F1",
    "f1_weighted": "weighted F1",
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "specificity": "specificity",
}


@dataclass(frozen=True, eq=False)
class Decisions:
    """Metrics of the test set at thresholds of each finding.

    Attributes:
        thresholds: of each finding, NaN where the selection patients chose none.
        measured: at them; a finding without a threshold has no number, and no part in the means.
    """

    thresholds: Sequence[float]
    measured: Measurement

    @classmethod
    def of(cls, predicted: Predicted, thresholds: Sequence[float], draws: Draws) -> "Decisions | None":
        """Measure the test set at thresholds; None where there is none.

        Args:
            predicted: on the test set; of findings, no exclusive classes.
            thresholds: of each finding, or none at all.
            draws: behind the intervals.
        """
        if all(map(math.isnan, thresholds)):
            return None
        return cls(thresholds, measure(predicted.at(thresholds), ranks=False, **draws))

    def overall(self) -> dict[str, Any]:
        """The numbers over all findings, for metrics.json."""
        return {name: asdict(each) for name, each in self.measured.overall.items()}

    def of_finding(self, index: int) -> dict[str, Any]:
        """The threshold and the numbers of a finding, for metrics.json."""
        numbers = {name: asdict(each[index]) for name, each in self.measured.by_label.items()}
        return {"threshold": self.thresholds[index], **numbers}


def decisions_table(
    names: Sequence[str], decisions: Decisions, fixed: Measurement, *, chosen_by: str, fixed_at: str
) -> Table:
    """A row for each finding, and the means beside those at the fixed threshold.

    Args:
        names: of the findings.
        decisions: at the thresholds that were chosen.
        fixed: at the fixed threshold, on the same predictions.
        chosen_by: who chose the thresholds.
        fixed_at: the fixed threshold, as it is shown.
    """
    table = results_table("at thresholds chosen apart from the test set", "finding", ("threshold", *_SHOWN.values()))
    for index, name in enumerate(names):
        numbers = (cell(decisions.measured.by_label[metric][index].value) for metric in _SHOWN)
        table.add_row(name, cell(decisions.thresholds[index]), *numbers)
    table.add_section()
    table.add_row("mean", "", *_means(decisions.measured))
    table.add_row(f"mean at {fixed_at}", "", *_means(fixed))
    without = [name for name, value in zip(names, decisions.thresholds, strict=True) if math.isnan(value)]
    note = f"; without a threshold, and so in the lower mean alone: {', '.join(without)}" if without else ""
    table.caption = (
        f"thresholds: highest sensitivity plus specificity among {chosen_by}; weighted F1: of those with and of those "
        f"without the finding, by their numbers{note}"
    )
    return table


def _means(measured: Measurement) -> list[str]:
    keys = {"f1": "f1_macro", "f1_weighted": "f1_weighted", "accuracy": "accuracy"}
    return [cell(measured.overall[keys.get(metric, f"{metric}_macro")].value) for metric in _SHOWN]
