"""The result of retrieval between reports and volumes, as it is written and printed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from rich.table import Table
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.tables import (
    cell,
    draws_of,
    interval_cell,
    interval_head,
    interval_note,
    results_table,
)
from simcrop.adapters.figures.recall import RecallCurve, recall_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate, estimated
from simcrop.core.evaluation.retrieval import TOP, Chance, first_match_ranks, weighted_median

DIRECTIONS = {"report_to_volume": "report to volume", "volume_to_report": "volume to report"}


@dataclass(frozen=True, eq=False)
class RetrievalOutcome:
    """Scores of every report in every volume.

    Attributes:
        studies: whose reports and volumes they are, in the order of rows and columns.
        scores: row: report, column: volume.
        same: reports that say the same; what is found for one is right for the other.
        weights: how sentences were weighted.
        warnings: sentences for the reader.
    """

    studies: Sequence[Study]
    scores: Float[Tensor, "n n"]
    same: Bool[Tensor, "n n"]
    weights: str
    warnings: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Direction:
    """Ranks of the right answer in one direction, and what they come to."""

    ranks: Int64[Tensor, "n"]
    recall: Mapping[int, Estimate]
    chance: Mapping[int, float]
    median_rank: Estimate
    chance_median_rank: int


def retrieval_report(outcome: RetrievalOutcome, settings: EvaluationSettings, *, seed: int) -> Evaluation:
    """Recall in both directions beside chance, ranks, table and curves.

    Args:
        outcome: on the test set.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    tables = {"report_to_volume": outcome.scores, "volume_to_report": outcome.scores.T}
    directions = {name: _measure(scores, outcome, settings, seed) for name, scores in tables.items()}
    num = len(outcome.studies)
    title = f"retrieval among {num} test studies"
    at_random = Chance.of(outcome.same)
    chance = [at_random.within(k) for k in range(1, num + 1)]
    curves = [
        RecallCurve(
            DIRECTIONS[name],
            [float((each.ranks <= k).double().mean()) for k in range(1, num + 1)],
            chance,
        )
        for name, each in directions.items()
    ]
    columns = ("study_id", "patient_id", "rank_of_volume", "rank_of_report", "best_volume", "best_report")
    return Evaluation(
        task="retrieval",
        metrics={
            "num_test": num,
            "num_reports_that_repeat": int((outcome.same.sum(1) > 1).sum()),
            "weights": outcome.weights,
            **{name: _tree(each) for name, each in directions.items()},
        },
        predictions=Predictions(columns, list(_rows(outcome, directions))),
        table=_table(directions, title, settings),
        figures={"recall": recall_figure(curves, title=title)},
        warnings=outcome.warnings,
    )


def _measure(scores: Tensor, outcome: RetrievalOutcome, settings: EvaluationSettings, seed: int) -> _Direction:
    ranks, chance = first_match_ranks(scores, outcome.same), Chance.of(outcome.same)
    within = torch.stack([ranks <= k for k in TOP], dim=1).double()

    # The queries are drawn again; the candidates among which each searches stay as they are.
    def statistics(weights: Tensor) -> Tensor:
        recall = weights @ within / weights.sum(1, keepdim=True)
        return torch.cat([recall, weighted_median(ranks, weights)[:, None]], dim=1)

    patients = [study.patient_id for study in outcome.studies]
    *recall, median = estimated(statistics, patients, **draws_of(settings, seed))
    chances = {k: chance.within(k) for k in TOP}
    return _Direction(ranks, dict(zip(TOP, recall, strict=True)), chances, median, chance.median_rank)


def _tree(direction: _Direction) -> dict[str, Any]:
    recall = {f"recall_at_{k}": {**asdict(each), "chance": direction.chance[k]} for k, each in direction.recall.items()}
    return {**recall, "median_rank": {**asdict(direction.median_rank), "chance": direction.chance_median_rank}}


def _rows(outcome: RetrievalOutcome, directions: Mapping[str, _Direction]) -> Iterator[tuple[object, ...]]:
    ids = [study.study_id for study in outcome.studies]
    volumes, reports = outcome.scores.argmax(1).tolist(), outcome.scores.argmax(0).tolist()
    ranks = [directions[name].ranks.tolist() for name in DIRECTIONS]
    for row, study in enumerate(outcome.studies):
        best = (ids[volumes[row]], ids[reports[row]])
        yield study.study_id, study.patient_id, ranks[0][row], ranks[1][row], *best


def _table(directions: Mapping[str, _Direction], title: str, settings: EvaluationSettings) -> Table:
    both = directions.values()
    heads = [head for name in DIRECTIONS.values() for head in (name, interval_head(settings), "chance")]
    table = results_table(title, "", heads, no_wrap=False)
    for k in TOP:
        table.add_row(f"recall@{k}", *(text for each in both for text in _cells(each.recall[k], each.chance[k], ".3f")))
    table.add_section()
    medians = (text for each in both for text in _cells(each.median_rank, each.chance_median_rank, ".0f"))
    table.add_row("median rank", *medians)
    table.caption = (
        "recall@k: share of queries with the right one among the best k; chance: candidates in random order; studies "
        f"whose findings say the same are right for each other; {interval_note(settings, 'patients of the queries')}"
    )
    return table


def _cells(each: Estimate, chance: float, form: str) -> tuple[str, str, str]:
    return cell(each.value, form), interval_cell(each, form), cell(chance, form)
