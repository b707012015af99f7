"""The result of grounding, how well a model finds the places that sentences speak of, as it is written and printed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import torch
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation, Predictions
from simcrop.adapters.evaluation.tables import cell, draws_of, interval_head, interval_note, results_table
from simcrop.adapters.figures.grounding import finding_figure
from simcrop.core.data.study import Study
from simcrop.core.evaluation.bootstrap import Estimate, estimated
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.looking import ComparedMap, looking_numbers
from simcrop.core.evaluation.map_overlap import AtThreshold, Overlap, at_others_best, at_own_best
from simcrop.core.randomness import derive_seed

THRESHOLDS = torch.linspace(-1, 1, 401, dtype=torch.float64)
"""Cosines at which maps are cut."""


@dataclass(frozen=True, eq=False)
class GroundedSentence:
    """One sentence with a place, and how its map fits.

    Attributes:
        compared: its map beside those that have not seen the volume.
        overlap: with the mask, at every one of `THRESHOLDS`.
        is_reported: the report holds it; else it was read in the middle of the report.
    """

    compared: ComparedMap
    overlap: Overlap
    is_reported: bool

    @property
    def study(self) -> Study:
        """Whose report holds it."""
        return self.compared.study

    @property
    def pointing(self) -> Pointing:
        """Of the best patch and of the map."""
        return self.compared.pointing


@dataclass(frozen=True, eq=False)
class _Measured:
    """A sentence with its cut, and the numbers of it that are averaged."""

    sentence: GroundedSentence
    cut: AtThreshold
    numbers: Mapping[str, float]


def grounding_report(
    sentences: Sequence[GroundedSentence],
    settings: EvaluationSettings,
    *,
    seed: int,
    figures: Mapping[str, Figure],
    warnings: Sequence[str],
) -> Evaluation:
    """Means over the sentences of each finding and over findings, beside chance.

    Args:
        sentences: of the test set, at least one.
        settings: bootstrap and confidence.
        seed: of the bootstrap, and of the halves that thresholds are chosen on.
        figures: pictures of studies.
        warnings: sentences for the reader.
    """
    measured = _measured(sentences, seed)
    findings = sorted({each.pointing.finding for each in sentences})
    table = _averages(measured, findings, settings, seed)
    rates = {name: row["hit_rate"] for name, row in table.items()}
    chances = {name: row["hit_rate_chance"].value for name, row in table.items()}
    studies = {each.study.study_id for each in sentences}
    title = f"grounding: {len(sentences)} sentences of {len(studies)} test studies"
    counts = {name: sum(each.pointing.finding == name for each in sentences) for name in findings}
    counts["mean"] = len(sentences)
    columns = ("study_id", "patient_id", "finding", "sentence", "hit", "chance", "auc", "threshold", "iou", "dice")
    unmatched = [name for name in findings if math.isnan(table[name]["dice"].value)]
    alone = [f"{', '.join(unmatched)}: no IoU or Dice, only one half of the patients has it"] if unmatched else []
    return Evaluation(
        task="grounding",
        metrics={
            "num_studies": len(studies),
            "num_sentences": len(sentences),
            **{name: asdict(estimate) for name, estimate in table["mean"].items()},
            "findings": {
                name: {"num_sentences": counts[name], **{key: asdict(value) for key, value in table[name].items()}}
                for name in findings
            },
        },
        predictions=Predictions((*columns, "reported"), list(_rows(measured))),
        table=_table(table, counts, title, settings),
        figures={"findings": finding_figure(rates, chances, title=title), **figures},
        warnings=(*warnings, *alone),
    )


def halves(patients: Sequence[str], seed: int) -> list[bool]:
    """Which of two halves each belongs to: patients in an order that the seed decides, by turns."""
    order = sorted(set(patients), key=lambda patient: (derive_seed("grounding", seed, patient), patient))
    number = {patient: index for index, patient in enumerate(order)}
    return [number[patient] % 2 == 1 for patient in patients]


def _measured(sentences: Sequence[GroundedSentence], seed: int) -> list[_Measured]:
    half = halves([each.study.patient_id for each in sentences], seed)
    looks = looking_numbers([each.compared for each in sentences])
    measured: dict[int, _Measured] = {}
    for name in {each.pointing.finding for each in sentences}:
        rows = [row for row, each in enumerate(sentences) if each.pointing.finding == name]
        overlaps = [sentences[row].overlap for row in rows]
        cuts = at_others_best(overlaps, THRESHOLDS, [half[row] for row in rows])
        for row, cut, same_data in zip(rows, cuts, at_own_best(overlaps, THRESHOLDS), strict=True):
            numbers = {_NAMES.get(key, key): value for key, value in looks[row].items()}
            numbers |= _overlaps(sentences[row].overlap, cut, same_data)
            measured[row] = _Measured(sentences[row], cut, numbers)
    return [measured[row] for row in range(len(sentences))]


_NAMES = {"chance": "hit_rate_chance"}
"""Name of a number in the summary of a run -> here, where IoU and Dice have a chance of their own."""


def _overlaps(overlap: Overlap, cut: AtThreshold, same_data: AtThreshold) -> dict[str, float]:
    return {
        "iou": cut.iou,
        "iou_chance": overlap.iou_whole,
        "dice": cut.dice,
        "dice_chance": overlap.dice_whole,
        "iou_same_data": same_data.iou,
        "dice_same_data": same_data.dice,
    }


def _averages(
    measured: Sequence[_Measured], findings: Sequence[str], settings: EvaluationSettings, seed: int
) -> dict[str, dict[str, Estimate]]:
    """Finding -> number -> estimate; `mean` is the unweighted mean over findings."""
    numbers = torch.tensor([[*each.numbers.values()] for each in measured], dtype=torch.float64)
    of_finding = [[each.sentence.pointing.finding == name for each in measured] for name in findings]
    own = [torch.tensor(each).nonzero().flatten() for each in of_finding]
    patients = [each.sentence.study.patient_id for each in measured]
    values = iter(estimated(partial(_means, numbers, own), patients, **draws_of(settings, seed)))
    return {name: {key: next(values) for key in measured[0].numbers} for name in (*findings, "mean")}


def _means(
    numbers: Float[Tensor, "n K"], rows: Sequence[Int64[Tensor, "m"]], weights: Float[Tensor, "draws n"]
) -> Float[Tensor, "draws findings+1 K"]:
    """Weighted means over the sentences of each finding, whose rows are given, and last the mean over findings."""
    means = torch.stack([weights[:, own] @ numbers[own] / weights[:, own].sum(1, keepdim=True) for own in rows], dim=1)
    return torch.cat([means, means.nanmean(1, keepdim=True)], dim=1)


def _rows(measured: Sequence[_Measured]) -> Iterator[tuple[object, ...]]:
    for found in measured:
        each, pointing, cut = found.sentence, found.sentence.pointing, found.cut
        scores = (int(pointing.hit), *(f"{v:.6g}" for v in (pointing.chance, pointing.auc)))
        cells = ("" if math.isnan(v) else f"{v:.6g}" for v in (cut.threshold, cut.iou, cut.dice))
        names = each.study.study_id, each.study.patient_id, pointing.finding, each.compared.text
        yield *names, *scores, *cells, int(each.is_reported)


_SHOWN = {
    "hit_rate": "hit", "hit_rate_chance": "chance", "hit_rate_blind": "blind", "auc": "AUC", "auc_blind": "blind",
    "auc_evidence": "evid.", "own_above_others": "own", "dice": "Dice",
}  # fmt: skip
_WITHOUT_INTERVAL = frozenset({"hit_rate_chance", "hit_rate_blind", "auc_blind"})
"""Shown numbers that are no result of the model."""


def _table(
    averages: Mapping[str, Mapping[str, Estimate]], counts: Mapping[str, int], title: str, settings: EvaluationSettings
) -> Table:
    table = results_table(title, "finding", ("n", *_SHOWN.values()), pad=False)
    for name, row in averages.items():
        if name == "mean":
            table.add_section()
        shown = "mean over findings" if name == "mean" else name
        table.add_row(shown, str(counts[name]), *(cell(row[key].value) for key in _SHOWN))
    if settings.bootstrap:
        mean = averages["mean"]
        for end, label in {"low": f"  {interval_head(settings)}, from", "high": "  to"}.items():
            cells = ("" if key in _WITHOUT_INTERVAL else cell(getattr(mean[key], end)) for key in _SHOWN)
            table.add_row(label, "", *cells)
    table.caption = (
        "n: sentences; hit: the best patch of tissue overlaps the true place, chance: a random one does\n"
        "AUC: of those patches against the ones that do\n"
        "evid.: AUC of the map minus the sentence's mean map over training volumes: what looking adds\n"
        "blind: where the finding lies in the other patients, told without a look at the volume\n"
        "own: how often the sentence's own volume scores above those without the finding (chance 0.5)\n"
        "Dice: of the map, cut at its finding's best threshold on the other half of the patients\n"
        f"{interval_note(settings)}; metrics.json has more"
    )
    return table
