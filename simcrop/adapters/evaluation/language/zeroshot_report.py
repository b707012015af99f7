"""The result of zero-shot reading of findings, as it is written and printed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
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
from simcrop.core.evaluation.bootstrap import Draws, Estimate
from simcrop.core.evaluation.classification import Measurement, Predicted, measure
from simcrop.core.evaluation.prompt_features import ReadPrompts

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
        thresholds: of each finding, NaN where none could be chosen; empty where nobody chose any.
        num_choosing: training studies that chose them.
    """

    names: Sequence[str]
    studies: Sequence[Study]
    predicted: Predicted
    asserted: Predicted
    prompts: Mapping[str, ReadPrompts]
    placed: frozenset[str]
    warnings: Sequence[str]
    thresholds: Sequence[float] = ()
    num_choosing: int = 0


def zeroshot_report(outcome: ZeroShotOutcome, settings: EvaluationSettings, *, seed: int) -> Evaluation:
    """Areas under the curve with intervals, predictions, table and curves.

    Args:
        outcome: on the test set.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    predicted = outcome.predicted
    draws = draws_of(settings, seed)
    areas, asserted = (_areas(each, outcome, draws) for each in (predicted, outcome.asserted))
    at_zero = Decisions.of(predicted, [0.0] * len(outcome.names), draws)
    chosen = Decisions.of(predicted, outcome.thresholds, draws)
    assert at_zero is not None
    tables: list[Table] = []
    if chosen is not None:
        who = f"{outcome.num_choosing} training studies"
        tables.append(decisions_table(outcome.names, chosen, at_zero.measured, chosen_by=who, fixed_at="0"))
    title = f"zero-shot: {len(outcome.studies)} test studies"
    unmeasured = [name for name, area in zip(outcome.names, areas.by_finding, strict=True) if math.isnan(area.value)]
    one_class = [f"{', '.join(unmeasured)}: not measured, the test set has one class alone"] if unmeasured else []
    return Evaluation(
        task="zeroshot",
        metrics=_tree(outcome, areas, asserted, at_zero, chosen),
        predictions=Predictions(
            ("study_id", "patient_id", "finding", "truth", "score", "asserted"), list(_rows(outcome))
        ),
        table=_table(outcome, areas, asserted, title, settings),
        figures={"roc": roc_figure(predicted, areas.measured, outcome.names, "findings", title=title, **draws)},
        warnings=(*outcome.warnings, *one_class),
        more_tables=tables,
    )


@dataclass(frozen=True)
class _Areas:
    """Measurement of all findings, and the mean area over those with a place (over all where none has one)."""

    measured: Measurement
    placed_mean: Estimate

    @property
    def by_finding(self) -> Sequence[Estimate]:
        return self.measured.by_label["auroc"]

    @property
    def mean(self) -> Estimate:
        return self.measured.overall["auroc"]


def _areas(predicted: Predicted, outcome: ZeroShotOutcome, draws: Draws) -> _Areas:
    measured = placed = measure(predicted, **draws)
    if outcome.placed:
        chosen = torch.tensor([name in outcome.placed for name in outcome.names])
        scores, truth, learned = predicted.scores[:, chosen], predicted.truth[:, chosen], predicted.learned[chosen]
        placed = measure(replace(predicted, scores=scores, truth=truth, learned=learned), **draws)
    return _Areas(measured, placed.overall["auroc"])


def _tree(
    outcome: ZeroShotOutcome, areas: _Areas, asserted: _Areas, at_zero: Decisions, chosen: Decisions | None
) -> dict[str, Any]:
    counts = outcome.predicted.truth.sum(0).tolist()
    decided = {"at_zero": at_zero} | ({} if chosen is None else {"at_threshold": chosen})
    return {
        "auroc": asdict(areas.mean),
        "auroc_with_place": asdict(areas.placed_mean),
        "auroc_asserted": asdict(asserted.mean),
        "auroc_asserted_with_place": asdict(asserted.placed_mean),
        "num_test": len(outcome.studies),
        "num_threshold_studies": outcome.num_choosing,
        "at_zero": at_zero.overall(),
        **({} if chosen is None else {"at_thresholds": chosen.overall()}),
        "findings": {
            name: {
                "auroc": asdict(area),
                "auroc_asserted": asdict(other),
                "num_positive": count,
                "has_place": name in outcome.placed,
                **{key: each.of_finding(index) for key, each in decided.items()},
                "prompts": _described(outcome.prompts[name]),
            }
            for index, (name, area, other, count) in enumerate(
                zip(outcome.names, areas.by_finding, asserted.by_finding, counts, strict=True)
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
    table = results_table(title, "finding", ("with it", "place", "AUROC", interval_head(settings), "asserted"))
    counts = outcome.predicted.truth.sum(0).tolist()
    for name, area, other, count in zip(outcome.names, areas.by_finding, asserted.by_finding, counts, strict=True):
        table.add_row(name, str(count), "yes" if name in outcome.placed else "-", *_cells(area, other))
    table.add_section()
    table.add_row("mean over findings", "", "", *_cells(areas.mean, asserted.mean))
    if 0 < len(outcome.placed) < len(outcome.names):
        table.add_row("mean over those with a place", "", "", *_cells(areas.placed_mean, asserted.placed_mean))
    table.caption = (
        "with it: test studies that have the finding; place: the test set has masks of it; asserted: AUROC without the "
        f"sentences that deny it; chance is 0.5; {interval_note(settings)}"
    )
    return table


def _cells(area: Estimate, asserted: Estimate) -> tuple[str, str, str]:
    return cell(area.value), interval_cell(area), cell(asserted.value)
