"""The cells of docs/results.md: commands, the folders of their results, and the numbers in them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cells import simcrop
from kept import Kept

FOLDER, CONFIG = Path("runs/results"), "configs/results.yaml"
KEPT = Kept(Path("benchmarks/results/evidence.json"), Path(CONFIG))
SEEDS, PERCENTS, SEGMENT_PERCENTS = (1, 2, 3), (1, 10, 100), (10,)
RECONSTRUCTION = tuple(f"objectives.{name}.weight=0" for name in ("report", "alignment", "late_interaction"))
ARMS: Mapping[str, tuple[str, ...]] = {"full method": (), "reconstruction alone": RECONSTRUCTION}
"""Pre-training: name -> what is set beside the configuration."""
READ_OUTS: Mapping[str, str] = {"voxels": "voxels", "prototypes": "prototypes"}
"""What a probe reads where it is not the mean token: start -> `probe.features`. Prototypes are the full method's."""
SEGMENTED = ("scratch", "full method")
FINETUNED = ("scratch", "full method")
FINETUNE_PERCENT, FINETUNE_STEPS = 10, 400
"""Percent of the labels that all weights are trained on, some 150 studies, and the updates."""


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

    def command(self) -> list[str]:
        """Arguments of simcrop."""
        rest = [*seeded(self.seed), "--out", str(self.folder)]
        if self.task == "pretrain":
            return ["train", CONFIG, *rest, *ARMS[self.start], "train.threads=1"]
        rest += ["evaluation.bootstrap=0"]  # seeds tell the spread
        rest += ["--checkpoint", str(Cell("pretrain", self.arm, self.seed).folder)] if self.arm in ARMS else []
        rest += [f"probe.features={READ_OUTS.get(self.start, 'encoder')}"] if self.task == "probe" else []
        rest += ["train.precision=bf16"] if self.task == "segment" else []
        rest += [f"finetune.steps={FINETUNE_STEPS}"] if self.task == "finetune" else []
        rest += ["--labels", str(self.percent)] if self.task in {"probe", "finetune", "segment"} else []
        return ["eval", self.task, CONFIG, *rest]

    def kept(self) -> dict[str, Any] | None:
        """What was measured, where that is done."""
        return KEPT.read(self._key(), self.command())

    def read(self) -> dict[str, Any]:
        """What was measured.

        Raises:
            LookupError: nothing yet.
        """
        metrics = self.kept()
        if metrics is None:
            raise LookupError(f"{self.folder}: not measured yet")
        return metrics

    def run(self) -> None:
        """Run the command; keep what an evaluation has measured."""
        simcrop(*self.command(), log=self.folder / "log.txt")
        if self.task != "pretrain":
            content = json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))
            KEPT.write(self._key(), self.command(), content["metrics"])
        print(f"{self.folder}: finished", flush=True)

    def _key(self) -> str:
        return str(self.folder.relative_to(FOLDER))


def seeded(seed: int) -> list[str]:
    """Settings of a seed."""
    return [f"data.phantom_seed={seed}", f"seed={seed}"]


EVALUATIONS = [
    *(
        Cell("probe", start, seed, percent)
        for start in ("untrained", *READ_OUTS, *ARMS)
        for percent in PERCENTS
        for seed in SEEDS
    ),
    *(Cell(task, "full method", seed) for task in ("zeroshot", "retrieval", "grounding") for seed in SEEDS),
    *(Cell("segment", start, seed, percent) for start in SEGMENTED for percent in SEGMENT_PERCENTS for seed in SEEDS),
    *(Cell("finetune", start, seed, FINETUNE_PERCENT) for start in FINETUNED for seed in SEEDS),
]


def value(cell: Cell, *path: str) -> float | None:
    """A number among the metrics of a cell: the estimate itself where it has an interval."""
    node: Any = cell.read()
    for key in path:
        node = node[key]
    return node["value"] if isinstance(node, dict) else node


def over_seeds(task: str, start: str, percent: int, *path: str) -> list[float | None]:
    """The same number for every seed."""
    return [value(Cell(task, start, seed, percent), *path) for seed in SEEDS]
