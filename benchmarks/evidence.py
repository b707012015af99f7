"""The evidence: what pre-training is worth on phantoms, by every evaluation, over three seeds: docs/results.md.

    make results

A seed gives the phantoms, the weights and every draw. Each cell is one command of simcrop in a process of its own with
one thread, as many at once as there are cores. A cell that has finished is read, not run again, so the command can be
stopped and repeated; `log.txt` in a cell's folder says why it failed.
"""

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cells import run_all, simcrop, spread, table
from measuring import hardware

from simcrop.adapters.checkpoints.resume import leaves
from simcrop.adapters.config.renamed import renamed_keys

FOLDER, PAGE, CONFIG = Path("runs/results"), Path("docs/results.md"), "configs/results.yaml"
SEEDS, PERCENTS, SEGMENT_PERCENTS = (1, 2, 3), (1, 10, 100), (10,)
RECONSTRUCTION = tuple(f"objectives.{name}.weight=0" for name in ("report", "alignment", "late_interaction"))
ARMS: Mapping[str, tuple[str, ...]] = {"full method": (), "reconstruction alone": RECONSTRUCTION}
"""Pre-training: name -> what is set beside the configuration."""
READ_OUTS: Mapping[str, str] = {"voxels": "voxels", "prototypes": "prototypes"}
"""What a probe reads where it is not the mean token: start -> `probe.features`. Prototypes are the full method's."""
SEGMENTED = ("scratch", "full method")
FINETUNED: Mapping[str, tuple[int, ...]] = {"scratch": PERCENTS, "full method": (10,)}
"""What training of all weights starts from -> percent of the labels; at 10 % it is compared."""
FINETUNE_STEPS: Mapping[int, int] = {1: 200, 10: 400, 100: 1000}
"""Percent of the labels -> updates: some 15, 150 and 1500 studies are learned from."""
_DECIDES = {"pretrain": ("data", "model", "objectives", "text_encoder", "train")}
"""Sections of the configuration that a task goes by, where they are not the data and the section of its name."""


@dataclass(frozen=True)
class Cell:
    """One command and the folder of its result.

    Attributes:
        task: pretrain, or one of `simcrop eval`.
        start: what is measured: a name of ARMS or READ_OUTS, untrained or scratch.
        seed: of phantoms, weights and draws.
        percent: share of the labels that are learned from.
    """

    task: str
    start: str
    seed: int
    percent: int = 100

    @property
    def arm(self) -> str:
        """Whose weights are measured."""
        return "full method" if self.start == "prototypes" else self.start

    @property
    def folder(self) -> Path:
        """Where the result lies."""
        return FOLDER / f"seed{self.seed}" / self.start.replace(" ", "_") / f"{self.task}_{self.percent}"

    @property
    def result(self) -> Path:
        """The file that is there once the cell has finished."""
        return self.folder / ("summary.json" if self.task == "pretrain" else "metrics.json")

    def command(self) -> list[str]:
        """Arguments of simcrop."""
        rest = [*_seeded(self.seed), "--out", str(self.folder)]
        if self.task == "pretrain":
            return ["train", CONFIG, *rest, *ARMS[self.start], "train.threads=1"]
        rest += ["evaluation.bootstrap=0"]  # seeds tell the spread
        rest += ["--checkpoint", str(Cell("pretrain", self.arm, self.seed).folder)] if self.arm in ARMS else []
        rest += [f"probe.features={READ_OUTS.get(self.start, 'encoder')}"] if self.task == "probe" else []
        rest += ["train.precision=bf16"] if self.task == "segment" else []
        rest += [f"finetune.steps={FINETUNE_STEPS[self.percent]}"] if self.task == "finetune" else []
        rest += ["--labels", str(self.percent)] if self.task in {"probe", "finetune", "segment"} else []
        return ["eval", self.task, CONFIG, *rest]

    def read(self) -> dict[str, Any]:
        """What was measured."""
        content = json.loads(self.result.read_text(encoding="utf-8"))
        return content if self.task == "pretrain" else content["metrics"]

    def require_settings(self) -> None:
        """Raises ValueError where other settings of the task made the result than the configuration has now."""
        wanted = dict(leaves(yaml.safe_load(Path(CONFIG).read_text(encoding="utf-8"))))
        wanted |= {key: yaml.safe_load(value) for key, _, value in (word.partition("=") for word in self.command())}
        if self.task == "pretrain":
            made = yaml.safe_load((self.folder / "config.yaml").read_text(encoding="utf-8"))
        else:
            made = json.loads(self.result.read_text(encoding="utf-8"))["config"]
        found = dict(leaves(renamed_keys(made)[0]))
        for key, value in wanted.items():
            if key.partition(".")[0] in _DECIDES.get(self.task, ("data", self.task)) and found.get(key) != value:
                raise ValueError(f"{self.folder}: has {key} {found.get(key)}, not {value}; delete it to make it anew")


def _seeded(seed: int) -> list[str]:
    return [f"data.phantom_seed={seed}", f"seed={seed}"]


PRETRAINING = [Cell("pretrain", arm, seed) for arm in ARMS for seed in SEEDS]
EVALUATIONS = [
    *(
        Cell("probe", start, seed, percent)
        for start in ("untrained", *READ_OUTS, *ARMS)
        for percent in PERCENTS
        for seed in SEEDS
    ),
    *(Cell(task, "full method", seed) for task in ("zeroshot", "retrieval", "grounding") for seed in SEEDS),
    *(Cell("segment", start, seed, percent) for start in SEGMENTED for percent in SEGMENT_PERCENTS for seed in SEEDS),
    *(
        Cell("finetune", start, seed, percent)
        for start, percents in FINETUNED.items()
        for percent in percents
        for seed in SEEDS
    ),
]


def main() -> None:
    """Run what is missing, then write the page."""
    for seed in SEEDS:
        simcrop("data", "prepare", CONFIG, *_seeded(seed))
    waits = [cell for cell in EVALUATIONS if cell.arm in ARMS]
    run_all(run, [*PRETRAINING, *(cell for cell in EVALUATIONS if cell not in waits)])
    run_all(run, waits)
    PAGE.write_text(document(), encoding="utf-8")
    print(f"{PAGE}: written")


def run(cell: Cell) -> None:
    """Run a cell unless it has finished."""
    if cell.result.exists():
        cell.require_settings()
    else:
        simcrop(*cell.command(), log=cell.folder / "log.txt")
        print(f"{cell.folder}: finished", flush=True)


def value(cell: Cell, *path: str) -> float | None:
    """A number among the metrics of a cell: the estimate itself where it has an interval."""
    node: Any = cell.read()
    for key in path:
        node = node[key]
    return node["value"] if isinstance(node, dict) else node


def over_seeds(task: str, start: str, percent: int, *path: str) -> list[float | None]:
    """The same number for every seed."""
    return [value(Cell(task, start, seed, percent), *path) for seed in SEEDS]


def document() -> str:
    """The page: what was run, a table for each kind of evaluation, and what was aimed at."""
    probe = Cell("probe", "full method", SEEDS[0], 100).read()
    paragraph = (
        f"Made by `make results` ({hardware()}, one thread a process). Mean and standard deviation over seeds "
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
    steps = ", ".join(map(str, FINETUNE_STEPS.values()))
    paragraph = (
        f"Area under the ROC curve, mean over 18 findings. The last two rows train the encoder too, {steps} steps of "
        "16 studies, of which selection patients choose the best. Phantoms all lie alike, which raw voxels profit from."
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
        row("grounding: own volume above those without the finding", "grounding", ("own_above_others",), 0.5),
        row("left and right swapped: the map follows", "grounding", ("side_follows",), 0.5),
        row("the best patch lies on the side that the sentence names", "grounding", ("side_right",), 0.5),
        row("the finding erased: its score falls", "grounding", ("erased_falls",), 0.5),
        row("the same more than with another erased", "grounding", ("erased_specific",), 0.5),
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
        "evidence AUC": ("grounding", ("findings", "auc_evidence")),
        "probe AUROC, 10 %": ("probe", ("labels", "auroc")),
    }
    rows = (
        (
            name,
            *(
                spread(over_seeds(task, "full method", 10 if task == "probe" else 100, group, name, number))
                for task, (group, number) in columns.values()
            ),
        )
        for name in names
    )
    return table(("finding", *columns), rows)


def _segmentation() -> list[str]:
    rows = (
        (start, *(spread(over_seeds("segment", start, percent, "dice")) for percent in SEGMENT_PERCENTS))
        for start in SEGMENTED
    )
    classes = ", ".join(Cell("segment", "scratch", SEEDS[0], SEGMENT_PERCENTS[0]).read()["classes"][1:])
    return [f"Mean Dice over {classes}.", "", *table(("encoder", *_percents(SEGMENT_PERCENTS)), rows)]


def _aims() -> list[str]:
    def gain(name: str, over: str) -> str:
        ours, theirs = (over_seeds("probe", start, 10, "auroc") for start in (name, over))
        return spread([a - b for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None])

    def times(task: str, number: Sequence[str], chance: Sequence[str]) -> str:
        found, beside = (over_seeds(task, "full method", 100, *path) for path in (number, chance))
        return spread([a / b for a, b in zip(found, beside, strict=True) if a is not None and b], 1)

    recall = ("report_to_volume", "recall_at_5")
    scratch, full = (over_seeds("segment", start, 10, "dice") for start in SEGMENTED)
    better = [a - b for a, b in zip(full, scratch, strict=True) if a is not None and b is not None]
    placed, asserted = (
        spread(over_seeds("zeroshot", "full method", 100, name))
        for name in ("auroc_with_place", "auroc_asserted_with_place")
    )
    rows = (
        ("probe at 10 % of labels: full method over untrained", "beyond the spread", gain("full method", "untrained")),
        ("the same over reconstruction alone", "beyond the spread", gain("full method", "reconstruction alone")),
        ("the same of prototypes over raw voxels", "0.10", gain("prototypes", "voxels")),
        ("zero-shot AUROC over findings with a place", "0.70", f"{placed}; without denials {asserted}"),
        ("recall@5 over chance", "4 times", times("retrieval", recall, (*recall, "chance"))),
        ("grounding over chance", "3 times", times("grounding", ("hit_rate",), ("hit_rate_chance",))),
        ("segmentation at 10 % of labels, mean Dice", "0.85", spread(over_seeds("segment", "full method", 10, "dice"))),
        ("the same over scratch", "0 or more", spread(better)),
    )
    return table(("", "aim", "measured"), rows)


if __name__ == "__main__":
    main()
