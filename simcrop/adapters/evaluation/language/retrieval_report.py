"""What retrieval between reports and volumes is worth, as an evaluation writes and prints it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from rich import box
from rich.table import Table
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.figures.recall import RecallCurve, recall_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate, estimates, patient_weights
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
    patients = [study.patient_id for study in outcome.studies]
    within = torch.stack([ranks <= k for k in TOP], dim=1).double()
    draws: list[Tensor] = []
    medians: list[Tensor] = []
    # The queries are drawn again; the candidates among which each searches stay as they are.
    for weights in patient_weights(patients, settings.bootstrap, seed=seed):
        draws.append(weights @ within / weights.sum(1, keepdim=True))
        medians.append(weighted_median(ranks, weights))
    recall = dict(zip(TOP, estimates(within.mean(0), draws, settings.confidence), strict=True))
    median = weighted_median(ranks, torch.ones(1, len(ranks), dtype=torch.float64))
    return _Direction(
        ranks,
        recall,
        {k: chance.within(k) for k in TOP},
        estimates(median, medians, settings.confidence)[0],
        chance.median_rank,
    )


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
    table = Table(title=title, box=box.SIMPLE_HEAD, caption_justify="left")
    table.add_column("")
    for name in DIRECTIONS.values():
        for column in (name, f"{100 * settings.confidence:g} % interval", "chance"):
            table.add_column(column, justify="right")
    for k in TOP:
        cells = [cell for each in directions.values() for cell in _cells(each.recall[k], each.chance[k], "{:.3f}")]
        table.add_row(f"recall@{k}", *cells)
    table.add_section()
    medians = [
        cell for each in directions.values() for cell in _cells(each.median_rank, each.chance_median_rank, "{:.0f}")
    ]
    table.add_row("median rank", *medians)
    table.caption = (
        "recall@k: share of queries with the right one among the best k; chance: candidates in random order; studies "
        f"whose findings say the same are right for each other; intervals: patients of the queries drawn again, "
        f"{settings.bootstrap} times"
    )
    return table


def _cells(each: Estimate, chance: float, form: str) -> tuple[str, str, str]:
    has_interval = not math.isnan(each.low)
    between = f"{form.format(each.low)} to {form.format(each.high)}" if has_interval else "-"
    return form.format(each.value), between, form.format(chance)
