"""The result of retrieval between reports and volumes, as it is written and printed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
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
from simcrop.adapters.figures.recall import recall_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate, estimated
from simcrop.core.evaluation.retrieval import Chance, first_match_ranks, weighted_median
from simcrop.core.evaluation.settings import RetrievalSettings

DIRECTIONS = {"report_to_volume": "report to volume", "volume_to_report": "volume to report"}


@dataclass(frozen=True, eq=False)
class RetrievalOutcome:
    """Scores of every report in every volume.

    Attributes:
        studies: whose reports and volumes they are, in the order of rows and columns.
        scores: row: report, column: volume.
        same: reports that say the same; what is found for one is right for the other.
        weights: how sentences were weighted; None where reports were not compared sentence by sentence.
        num_repeats: held-out studies that were left out since their findings are those of another one.
        warnings: sentences for the reader.
    """

    studies: Sequence[Study]
    scores: Float[Tensor, "n n"]
    same: Bool[Tensor, "n n"]
    weights: str | None
    num_repeats: int
    warnings: Sequence[str]


@dataclass(frozen=True, eq=False)
class _Direction:
    """Ranks of the right answer in one direction, and the numbers that they come to, each with that of chance."""

    ranks: Int64[Tensor, "n"]
    numbers: Mapping[str, tuple[Estimate, float]]


def retrieval_report(
    outcome: RetrievalOutcome, asked: RetrievalSettings, settings: EvaluationSettings, *, seed: int
) -> Evaluation:
    """Recall in both directions beside chance, ranks, table and curves.

    Args:
        outcome: on the test set.
        asked: protocol, and numbers of candidates that recall is told for.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    tables = {"report_to_volume": outcome.scores, "volume_to_report": outcome.scores.T}
    counts = asked.counts
    directions = {name: _measure(scores, outcome, counts, settings, seed) for name, scores in tables.items()}
    num = len(outcome.studies)
    title = f"retrieval among {num} test studies"
    at_random = Chance.of(outcome.same)
    chance = [at_random.within(k) for k in range(1, num + 1)]
    recall = {
        DIRECTIONS[name]: [float((each.ranks <= k).double().mean()) for k in range(1, num + 1)]
        for name, each in directions.items()
    }
    columns = ("study_id", "patient_id", "rank_of_volume", "rank_of_report", "best_volume", "best_report")
    return Evaluation(
        task="retrieval",
        metrics={
            "protocol": asked.protocol,
            "num_test": num,
            "num_repeats_left_out": outcome.num_repeats,
            "num_reports_that_repeat": int((outcome.same.sum(1) > 1).sum()),
            "weights": outcome.weights,
            **{name: _tree(each) for name, each in directions.items()},
        },
        predictions=Predictions(columns, list(_rows(outcome, directions))),
        table=_table(directions, title, asked, settings),
        figures={"recall": recall_figure(recall, chance, title=title)},
        warnings=outcome.warnings,
    )


def _measure(
    scores: Tensor, outcome: RetrievalOutcome, counts: Sequence[int], settings: EvaluationSettings, seed: int
) -> _Direction:
    ranks, chance = first_match_ranks(scores, outcome.same), Chance.of(outcome.same)
    within = torch.stack([ranks <= k for k in counts], dim=1).double()

    # The queries are drawn again; the candidates among which each searches stay as they are.
    def statistics(weights: Tensor) -> Tensor:
        recall = weights @ within / weights.sum(1, keepdim=True)
        return torch.cat([recall, weighted_median(ranks, weights)[:, None]], dim=1)

    patients = [study.patient_id for study in outcome.studies]
    found = estimated(statistics, patients, **draws_of(settings, seed))
    chances = (*(chance.within(k) for k in counts), chance.median_rank)
    names = (*(f"recall_at_{k}" for k in counts), "median_rank")
    return _Direction(ranks, dict(zip(names, zip(found, chances, strict=True), strict=True)))


def _tree(direction: _Direction) -> dict[str, Any]:
    return {name: {**asdict(each), "chance": chance} for name, (each, chance) in direction.numbers.items()}


def _rows(outcome: RetrievalOutcome, directions: Mapping[str, _Direction]) -> Iterator[tuple[object, ...]]:
    ids = [study.study_id for study in outcome.studies]
    volumes, reports = outcome.scores.argmax(1).tolist(), outcome.scores.argmax(0).tolist()
    ranks = [directions[name].ranks.tolist() for name in DIRECTIONS]
    for row, study in enumerate(outcome.studies):
        best = (ids[volumes[row]], ids[reports[row]])
        yield study.study_id, study.patient_id, ranks[0][row], ranks[1][row], *best


def _table(
    directions: Mapping[str, _Direction], title: str, asked: RetrievalSettings, settings: EvaluationSettings
) -> Table:
    heads = [head for name in DIRECTIONS.values() for head in (name, interval_head(settings), "chance")]
    table = results_table(title, "", heads, no_wrap=False)
    for name in next(iter(directions.values())).numbers:
        is_recall = name != "median_rank"
        form, shown = (".3f", name.replace("recall_at_", "recall@")) if is_recall else (".0f", "median rank")
        if not is_recall:
            table.add_section()
        both = (each.numbers[name] for each in directions.values())
        cells = [(cell(each.value, form), interval_cell(each, form), cell(chance, form)) for each, chance in both]
        table.add_row(shown, *chain.from_iterable(cells))
    right = "studies whose findings say the same are right for each other"
    if asked.protocol == "published":
        right = "a report's own volume alone is right for it (published protocol)"
    table.caption = (
        "recall@k: share of queries with the right one among the best k; chance: candidates in random order; "
        f"{right}; {interval_note(settings, 'patients of the queries')}"
    )
    return table
