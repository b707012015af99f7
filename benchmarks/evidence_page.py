"""docs/results.md, from the numbers of the cells."""

import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean

from cells import spread, table
from evidence_cells import (
    ARMS,
    CONFIG,
    EVALUATIONS,
    FINETUNE_STEPS,
    KEPT,
    PERCENTS,
    SEEDS,
    SEGMENT_PERCENTS,
    SEGMENTED,
    Cell,
    over_seeds,
)

ANY_LOBE = (
    "Atelectasis",
    "Bronchiectasis",
    "Consolidation",
    "Interlobular septal thickening",
    "Lung nodule",
    "Lung opacity",
    "Pulmonary fibrotic sequela",
)
"""Findings that phantoms may have in any lobe, so that their usual place tells little."""
SMALL: Mapping[str, tuple[str, ...]] = {
    "lung nodules": ("Lung nodule",),
    "lymph nodes": ("Lymphadenopathy",),
    "calcifications": ("Arterial wall calcification", "Coronary artery wall calcification"),
}


def document() -> str:
    """The page: what was run, a table for each kind of evaluation, and what was aimed at."""
    probe = Cell("probe", "full method", SEEDS[0], 100).read()
    paragraph = (
        f"Made by `make results` ({KEPT.hardware()}, one thread a process). Mean and standard deviation over seeds "
        f"{', '.join(map(str, SEEDS))}: a seed gives the phantoms, the weights and every draw. Pre-training is "
        f"[configs/results.yaml](../{CONFIG}); `reconstruction alone` is the same with the weights of the other three "
        f"objectives 0. Test set: {probe['num_test']} studies or so of patients that no training has seen; 100 % of "
        f"labels are those of {probe['num_learned_from']} studies. "
        "[evaluation.md](evaluation.md) says how each number is made. Settings of pre-training were chosen on phantoms "
        "of seed 0; fine-tuning's optimizer and the steps of segmentation after a look at the seeds shown here "
        "([notebook/trials.md](notebook/trials.md))."
    )
    parts = {
        "Findings from labels": _labels(),
        "Findings, retrieval and places without labels": _language(),
        "Each finding, full method": _findings(),
        "Segmentation": _segmentation(),
        "What was aimed at": _aims(),
    }
    lines = ["# What pre-training is worth", "", *textwrap.wrap(paragraph, 120)]
    for title, content in parts.items():
        lines += ["", f"## {title}", "", *content]
    return "\n".join(lines) + "\n"


def _labels() -> list[str]:
    rows = {
        "linear probe: raw voxels": ("probe", "voxels"),
        "linear probe: untrained encoder": ("probe", "untrained"),
        **{f"linear probe: {arm}, mean token": ("probe", arm) for arm in reversed(ARMS)},
        "linear probe: full method, sentence prototypes": ("probe", "prototypes"),
        "all weights from the labels: from scratch": ("finetune", "scratch"),
        "all weights from the labels: from the full method": ("finetune", "full method"),
    }

    def auroc(task: str, start: str, percent: int) -> str:
        is_run = Cell(task, start, SEEDS[0], percent) in EVALUATIONS
        return spread(over_seeds(task, start, percent, "auroc")) if is_run else "-"

    cells = ((name, *(auroc(*cell, percent) for percent in PERCENTS)) for name, cell in rows.items())
    paragraph = (
        f"Area under the ROC curve, mean over 18 findings. The last two rows train the encoder too, {FINETUNE_STEPS} "
        "steps of 16 studies, of which selection patients choose the best. Phantoms all lie alike, which raw voxels "
        "profit from."
    )
    return [*textwrap.wrap(paragraph, 120), "", *table(("", *_percents(PERCENTS)), cells)]


def _percents(percents: Sequence[int]) -> list[str]:
    return [f"{percent} % of labels" for percent in percents]


def _language() -> list[str]:
    def row(name: str, task: str, number: Sequence[str], chance: Sequence[str] | float) -> tuple[str, ...]:
        found = over_seeds(task, "full method", 100, *number)
        if isinstance(chance, float):
            return name, spread(found), f"{chance:g}", "-"
        beside = over_seeds(task, "full method", 100, *chance)
        times = [a / b for a, b in zip(found, beside, strict=True) if a is not None and b]
        return name, spread(found), spread(beside), spread(times, 1)

    directions = {"report_to_volume": "volume of a report", "volume_to_report": "report of a volume"}
    retrieval = (
        row(f"{name}: recall@{k}", "retrieval", (key, f"recall_at_{k}"), (key, f"recall_at_{k}", "chance"))
        for key, name in directions.items()
        for k in (1, 5, 10)
    )
    rows = [
        row("zero-shot: area under the curve, findings with a place", "zeroshot", ("auroc_with_place",), 0.5),
        row("the same without the sentences that deny a finding", "zeroshot", ("auroc_asserted_with_place",), 0.5),
        *retrieval,
        row("grounding: best patch in the place", "grounding", ("hit_rate",), ("hit_rate_chance",)),
        row("the same without a look at the volume", "grounding", ("hit_rate_blind",), ("hit_rate_chance",)),
        row("grounding: area under the curve of the map", "grounding", ("auc",), 0.5),
        row("the same without a look at the volume", "grounding", ("auc_blind",), 0.5),
        *(
            row(f"the same {name}", "grounding", (number,), chance)
            for name, suffix in (
                ("without a look, knowing the sentence's place words", "blind_reading"),
                ("without a look: the sentence's mean map", "no_look"),
                ("of the evidence: the map minus that", "evidence"),
            )
            for number, chance in ((f"hit_rate_{suffix}", ("hit_rate_chance",)), (f"auc_{suffix}", 0.5))
        ),
        *(
            (f"grounding, findings of any lobe: {name}", spread(_over_findings(ANY_LOBE, number)), "-", "-")
            for name, number in (
                ("best patch in the place", "hit_rate"),
                ("best patch without a look, knowing the place words", "hit_rate_blind_reading"),
                ("area of the map", "auc"),
                ("area without a look", "auc_blind"),
                ("area without a look, knowing the place words", "auc_blind_reading"),
            )
        ),
        row("grounding: own volume above those without the finding", "grounding", ("own_above_others",), 0.5),
        row("left and right swapped: the map follows", "grounding", ("faithfulness", "side_follows"), 0.5),
        row(
            "the best patch lies on the side that the sentence names", "grounding", ("faithfulness", "side_right"), 0.5
        ),
        row("the finding erased: its score falls", "grounding", ("faithfulness", "erased_falls"), 0.5),
        row("the same more than with another erased", "grounding", ("faithfulness", "erased_specific"), 0.5),
        row("grounding: IoU at the best threshold", "grounding", ("iou",), ("iou_chance",)),
        row("grounding: Dice at the best threshold", "grounding", ("dice",), ("dice_chance",)),
    ]
    paragraph = (
        "A map without a look at the volume is the mean place of the finding in the other test patients. What lies "
        "alike in all phantoms it knows better than the model (a hernia, a pericardial effusion); what may lie in any "
        "lobe (a consolidation, an atelectasis) the model finds better, as the next table shows."
    )
    return [*table(("full method", "measured", "chance", "times chance"), rows), "", *textwrap.wrap(paragraph, 120)]


def _findings() -> list[str]:
    names = Cell("grounding", "full method", SEEDS[0]).read()["findings"]
    columns: Mapping[str, tuple[str, tuple[str, ...]]] = {
        "zero-shot AUROC": ("zeroshot", ("findings", "auroc")),
        "best patch in the place": ("grounding", ("findings", "hit_rate")),
        "chance": ("grounding", ("findings", "hit_rate_chance")),
        "blind": ("grounding", ("findings", "hit_rate_blind")),
        "map AUC": ("grounding", ("findings", "auc")),
        "blind map AUC": ("grounding", ("findings", "auc_blind")),
        "evidence AUC": ("grounding", ("findings", "auc_evidence")),
        "probe AUROC, 10 %": ("probe", ("labels", "auroc")),
    }

    def numbers(task: str, group: str, name: str, number: str) -> list[float | None]:
        start, percent = ("prototypes", 10) if task == "probe" else ("full method", 100)
        return over_seeds(task, start, percent, group, name, number)

    rows = (
        (name, *(spread(numbers(task, group, name, number)) for task, (group, number) in columns.values()))
        for name in names
    )
    return [*table(("finding", *columns), rows), "", "The probe reads sentence prototypes."]


def _over_findings(names: Sequence[str], number: str) -> list[float]:
    """The mean of one of the numbers of grounding over some findings, for every seed."""
    columns = [over_seeds("grounding", "full method", 100, "findings", name, number) for name in names]
    return [fmean(value for value in values if value is not None) for values in zip(*columns, strict=True)]


def _differences(first: Sequence[float | None], second: Sequence[float | None]) -> list[float | None]:
    return [None if a is None or b is None else a - b for a, b in zip(first, second, strict=True)]


def _segmentation() -> list[str]:
    rows = (
        (start, *(spread(over_seeds("segment", start, percent, "dice")) for percent in SEGMENT_PERCENTS))
        for start in SEGMENTED
    )
    classes = ", ".join(Cell("segment", "scratch", SEEDS[0], SEGMENT_PERCENTS[0]).read()["classes"][1:])
    return [f"Mean Dice over {classes}.", "", *table(("encoder", *_percents(SEGMENT_PERCENTS)), rows)]


def _aims() -> list[str]:
    def probe(start: str, percent: int) -> list[float | None]:
        return over_seeds("probe", start, percent, "auroc")

    def measured(task: str, *number: str) -> str:
        return spread(over_seeds(task, "full method", 100, *number))

    scratch, full = (over_seeds("segment", start, 10, "dice") for start in SEGMENTED)
    looked, blind, hit, read = (
        _over_findings(ANY_LOBE, name) for name in ("auc", "auc_blind", "hit_rate", "hit_rate_blind_reading")
    )
    rows = [
        ("probe of prototypes, 10 % of labels", "0.78", spread(probe("prototypes", 10))),
        ("probe of prototypes, 100 % of labels", "0.84", spread(probe("prototypes", 100))),
        ("the same over raw voxels, 10 %", "0.10", spread(_differences(probe("prototypes", 10), probe("voxels", 10)))),
        *(
            (
                f"probe of the mean token over {other}, {percent} %",
                "beyond the spread",
                spread(_differences(probe("full method", percent), probe(other, percent))),
            )
            for other in ("reconstruction alone", "untrained")
            for percent in PERCENTS
        ),
        ("zero-shot AUROC over findings with a place", "0.78", measured("zeroshot", "auroc_with_place")),
        ("map AUC over all findings", "0.87", measured("grounding", "auc")),
        ("best patch in the place", "0.72", measured("grounding", "hit_rate")),
        ("evidence AUC", "0.72", measured("grounding", "auc_evidence")),
        ("own volume above those without the finding", "0.82", measured("grounding", "own_above_others")),
        ("the map follows the side of the sentence", "0.80", measured("grounding", "faithfulness", "side_follows")),
        ("findings of any lobe: map AUC over the blind map", "0.04", spread(_differences(looked, blind))),
        ("findings of any lobe: hit rate over the blind map that reads", "above 0", spread(_differences(hit, read))),
        *(
            (
                f"{name}: hit rate over chance; map AUC",
                f"{aim} times; 0.65",
                f"{spread(_times_chance(names), 1)}; {spread(_over_findings(names, 'auc'))}",
            )
            for (name, names), aim in zip(SMALL.items(), (20, 8, 8), strict=True)
        ),
        ("segmentation at 10 % of labels, mean Dice over scratch", "0 or more", spread(_differences(full, scratch))),
    ]
    return table(("", "aim", "measured"), rows)


def _times_chance(names: Sequence[str]) -> list[float]:
    hits, chances = (_over_findings(names, number) for number in ("hit_rate", "hit_rate_chance"))
    return [hit / chance for hit, chance in zip(hits, chances, strict=True)]
