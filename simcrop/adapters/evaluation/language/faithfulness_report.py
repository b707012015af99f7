"""The faithfulness tests of grounding, as they are added to its result."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from rich.table import Table
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.tables import cell, draws_of, interval_cell, interval_head, results_table
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate, estimated
from simcrop.core.evaluation.faithfulness import Erasure, SideReading

_SHOWN = {
    "erased_falls": "its finding erased: its score falls",
    "erased_fall": "  by how many spreads, on average",
    "erased_specific": "  further than for a finding elsewhere",
    "side_follows": "left and right swapped: its map follows",
    "side_right": "its best patch lies on the side it names",
}


@dataclass(frozen=True, eq=False)
class ErasedSentence:
    """A sentence whose finding was erased."""

    study: Study
    text: str
    finding: str
    erasure: Erasure


@dataclass(frozen=True, eq=False)
class SidedSentence:
    """A sentence that names one side."""

    study: Study
    text: str
    reading: SideReading


@dataclass(frozen=True, eq=False)
class Faithfulness:
    """All that was measured.

    Attributes:
        erased: empty where findings cannot be erased.
        sided: empty where no sentence names one side.
        warnings: sentences for the reader.
    """

    erased: Sequence[ErasedSentence] = ()
    sided: Sequence[SidedSentence] = ()
    warnings: Sequence[str] = field(default=())


def with_faithfulness(
    report: Evaluation, found: Faithfulness, settings: EvaluationSettings, *, seed: int
) -> Evaluation:
    """The result of grounding with the faithfulness tests in metrics, predictions and a table of their own.

    Args:
        report: of grounding.
        found: may be empty, which adds nothing but warnings.
        settings: bootstrap and confidence.
        seed: of the bootstrap.
    """
    erased, findings = _erased_means(found.erased, settings, seed)
    means = {**erased, **_side_means(found.sided, settings, seed)}
    report = replace(report, warnings=(*report.warnings, *found.warnings))
    if not means:
        return report
    counts = {
        "num_erased_studies": len({each.study.study_id for each in found.erased}),
        "num_erased_sentences": len(found.erased),
        "num_sided_sentences": len(found.sided),
    }
    tree: dict[str, Any] = {**counts, **_plain(means)}
    if findings:
        tree["findings"] = {name: _plain(row) for name, row in findings.items()}
    return replace(
        report,
        metrics={**report.metrics, "faithfulness": tree},
        predictions=_joined(report.predictions, found),
        more_tables=(*report.more_tables, _table(means, counts, settings)),
    )


def _plain(means: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {key: asdict(estimate) for key, estimate in means.items()}


def _erased_means(
    erased: Sequence[ErasedSentence], settings: EvaluationSettings, seed: int
) -> tuple[dict[str, Estimate], dict[str, dict[str, Estimate]]]:
    """(the unweighted means over findings, the means over the sentences of each finding)."""
    if not erased:
        return {}, {}
    names = sorted({each.finding for each in erased})
    keys = ("erased_falls", "erased_fall", "erased_specific")
    rows = [(each.erasure.falls, each.erasure.fall, each.erasure.specific) for each in erased]
    numbers = torch.tensor(rows, dtype=torch.float64)
    own = [torch.tensor([each.finding == name for each in erased]) for name in names]

    def means(weights: Tensor) -> Tensor:
        of_finding = torch.stack([_mean(numbers[rows], weights[:, rows]) for rows in own], dim=1)
        return torch.cat([of_finding, of_finding.nanmean(1, keepdim=True)], dim=1)

    values = iter(estimated(means, [each.study.patient_id for each in erased], **draws_of(settings, seed)))
    table = {name: {key: next(values) for key in keys} for name in (*names, "mean")}
    return table.pop("mean"), table


def _side_means(sided: Sequence[SidedSentence], settings: EvaluationSettings, seed: int) -> dict[str, Estimate]:
    """Means over sentences, which need not speak of a finding."""
    if not sided:
        return {}
    numbers = torch.tensor([(each.reading.follows, each.reading.right) for each in sided], dtype=torch.float64)
    patients = [each.study.patient_id for each in sided]
    values = estimated(lambda weights: _mean(numbers, weights), patients, **draws_of(settings, seed))
    return dict(zip(("side_follows", "side_right"), values, strict=True))


def _mean(numbers: Float[Tensor, "n K"], weights: Float[Tensor, "draws n"]) -> Float[Tensor, "draws K"]:
    """Weighted mean of the numbers that are not NaN; NaN where none has weight."""
    known = (~numbers.isnan()).double()
    return weights @ numbers.nan_to_num() / (weights @ known)


def _joined(predictions: Predictions, found: Faithfulness) -> Predictions:
    """The rows of grounding, each with what was measured of its sentence; empty cells where nothing was."""
    erased = {(each.study.study_id, each.finding, each.text): each.erasure for each in found.erased}
    sided = {(each.study.study_id, each.text): each.reading for each in found.sided}
    study, finding, text = (predictions.columns.index(name) for name in ("study_id", "finding", "sentence"))

    def cells(row: Sequence[object]) -> Iterator[str]:
        erasure = erased.get((str(row[study]), str(row[finding]), str(row[text])))
        reading = sided.get((str(row[study]), str(row[text])))
        numbers = (
            *((math.nan,) * 2 if erasure is None else (erasure.fall, erasure.specific)),
            *((math.nan,) * 2 if reading is None else (reading.follows, reading.right)),
        )
        return ("" if math.isnan(number) else f"{number:.6g}" for number in numbers)

    columns = (*predictions.columns, "erased_fall", "erased_specific", "side_follows", "side_right")
    return Predictions(columns, [(*row, *cells(row)) for row in predictions.rows])


def _table(means: Mapping[str, Estimate], counts: Mapping[str, int], settings: EvaluationSettings) -> Table:
    table = results_table("faithfulness", "of a sentence", ("n", "value", "chance", interval_head(settings)))
    for key, estimate in means.items():
        count = counts["num_erased_sentences" if key.startswith("erased") else "num_sided_sentences"]
        chance = "0" if key == "erased_fall" else "0.5"
        table.add_row(_SHOWN[key], str(count), cell(estimate.value), chance, interval_cell(estimate))
    table.caption = (
        "erased: the same patient without the finding, means over findings; spread: of the score over volumes\n"
        "sides: means over sentences that name one side"
    )
    return table
