"""The ablation: which objectives, and which negatives, are worth having: three seeds, one budget, as a table.

    make ablation

Every cell is one `simcrop train pretrain.yaml` in a process of its own with one thread, as many at once as there are
cores. Figures of finished cells are kept in benchmarks/results/ablation.json and not made again, so the command can be
stopped and repeated, on another machine too; `train.log` in a cell's folder says why it failed. Two rows are fine-tuned
to segment organs too, some ten minutes of a core for each seed; benchmarks/results/ablation-segment.json keeps what
that gave. A row whose figures were made elsewhere is trained again for it, since its weights are not kept.
"""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cells import run_all, simcrop, spread, table
from kept import Kept

CONFIG, FOLDER, TABLE = "pretrain.yaml", Path("runs/ablation"), Path("docs/ablation.md")
KEPT = Kept(Path("benchmarks/results/ablation.json"), Path(CONFIG))
SEGMENT = "configs/segment.yaml"
KEPT_SEGMENTS = Kept(Path("benchmarks/results/ablation-segment.json"), Path(SEGMENT))
SEEDS, STEPS = (1, 2, 3), 200
OBJECTIVES = ("reconstruction", "report", "alignment", "late_interaction")


@dataclass(frozen=True)
class Cell:
    """A row of the table: the objectives that are on, with the weights of pretrain.yaml, and further settings.

    `steps` None takes those of pretrain.yaml: the default run, on phantoms that nothing was tuned on. `segments`: its
    encoder is also fine-tuned to segment organs.
    """

    name: str
    on: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    steps: int | None = STEPS
    segments: bool = False

    def options(self, seed: int) -> list[str]:
        """What is set beside pretrain.yaml; the seed gives phantoms, weights, order and masks."""
        return [
            *phantoms(seed),
            f"seed={seed}",
            *([] if self.steps is None else [f"train.steps={self.steps}"]),
            "train.threads=1",
            "train.device=cpu",
            *(f"train.{what}_every=100000" for what in ("evaluate", "picture", "checkpoint")),
            *(f"objectives.{name}.weight=0" for name in OBJECTIVES if name not in self.on),
            *(f"{key}={value}" for key, value in self.settings.items()),
        ]

    def key(self, seed: int) -> str:
        """Names the cell of a seed."""
        return f"seed {seed}: {self.name}"

    def folder(self, seed: int) -> Path:
        """Of its run."""
        return FOLDER / "".join(c if c.isalnum() else "-" for c in self.key(seed)).strip("-")

    def segment_command(self, seed: int) -> list[str]:
        """The fine-tuning on a tenth of the labels."""
        folder = self.folder(seed)
        return [
            *("eval", "segment", SEGMENT, "--checkpoint", str(folder), "--labels", "10"),
            *("--out", str(folder / "segment"), *phantoms(seed), f"seed={seed}"),
            *("train.threads=1", "train.device=cpu", "train.precision=bf16"),
            *("segment.hausdorff=false", "evaluation.bootstrap=0"),
        ]


_TOKENS = {"model.local_patch_size": "null"}
_BEST = {"objectives.late_interaction.pooling": "best", "objectives.late_interaction.top_k": 64}
CELLS = (
    Cell("reconstruction", OBJECTIVES[:1]),
    Cell("+ report", ("reconstruction", "report")),
    *(
        Cell(
            f"+ alignment of weight 1, negatives: {negatives}",
            ("reconstruction", "alignment"),
            {"objectives.alignment.weight": 1, "objectives.alignment.negatives": negatives},
        )
        for negatives in ("report", "batch")
    ),
    Cell("+ late interaction on the encoder's tokens", ("reconstruction", "late_interaction"), _TOKENS),
    Cell("+ late interaction on the local path", ("reconstruction", "late_interaction")),
    Cell("all, late interaction on the encoder's tokens", OBJECTIVES, _TOKENS),
    Cell("all, the mean of the 64 best patches", OBJECTIVES, _BEST),
    Cell("all, sentences read by a layer of BERT", OBJECTIVES, {"text_encoder.depth": 1}),
    Cell("all, every hidden patch rebuilt", OBJECTIVES, {"objectives.reconstruction.prediction_ratio": 1}),
    Cell("all", OBJECTIVES, segments=True),
    # Not among OBJECTIVES: where it is off, which is the default, nothing is set.
    Cell("all, and organ shares", OBJECTIVES, {"objectives.organ_shares.weight": 1}, segments=True),
    Cell("all, with every step of pretrain.yaml", OBJECTIVES, steps=None),
)
"""On one process `global` negatives are those of the batch: tests/e2e/test_ranks.py shows that ranks agree with it."""

# What a run could not measure has no figure.
COLUMNS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "probe AUROC, mean token": lambda s: s.get("probe_auroc"),
    "of prototypes": lambda s: s.get("probe_auroc_prototypes"),
    "hit rate": lambda s: s.get("grounding_hit_rate"),
    "map AUC": lambda s: s.get("grounding_auc"),
    "evidence AUC": lambda s: s.get("grounding_auc_evidence"),
    "own above others": lambda s: s.get("grounding_own_above_others"),
    "Dice, 10 % of labels": lambda s: s.get("dice"),
}


def main() -> None:
    """Run what is missing, then write the table."""
    jobs = [(cell, seed) for seed in SEEDS for cell in CELLS]
    segmented = [job for job in jobs if job[0].segments]
    missing = [job for job in jobs if kept(*job) is None] + [job for job in segmented if kept_segments(*job) is None]
    for seed in sorted({seed for _, seed in missing}):
        # With every mask that a row needs, which otherwise its runs would make at the same time.
        simcrop("data", "prepare", CONFIG, *phantoms(seed), "objectives.organ_shares.weight=1")
    figures = run_all(lambda job: kept(*job) or run(*job), jobs)
    figures += run_all(lambda job: kept_segments(*job) or segment(*job), segmented)
    rows: dict[str, list[dict[str, Any]]] = {cell.name: [{} for _ in SEEDS] for cell in CELLS}
    for (cell, seed), found in zip([*jobs, *segmented], figures, strict=True):
        rows[cell.name][SEEDS.index(seed)] |= found
    TABLE.write_text(document(rows), encoding="utf-8")
    print(f"{TABLE}: written")


def kept(cell: Cell, seed: int) -> dict[str, Any] | None:
    """Figures of a cell that has finished."""
    return KEPT.read(cell.key(seed), cell.options(seed))


def kept_segments(cell: Cell, seed: int) -> dict[str, Any] | None:
    """What the fine-tuning of a cell has reached, where that is done."""
    return KEPT_SEGMENTS.read(cell.key(seed), cell.segment_command(seed))


def run(cell: Cell, seed: int) -> dict[str, Any]:
    """Figures of a cell: the numbers of its run's summary."""
    train(cell, seed)
    summary = json.loads((cell.folder(seed) / "summary.json").read_text(encoding="utf-8"))
    figures = {key: value for key, value in summary.items() if isinstance(value, int | float)}
    KEPT.write(cell.key(seed), cell.options(seed), figures)
    print(f"{cell.key(seed)}: finished", flush=True)
    return figures


def train(cell: Cell, seed: int) -> None:
    """The run of a cell; one that is finished is left as it is."""
    out = cell.folder(seed)
    simcrop("train", CONFIG, "--out", str(out), *cell.options(seed), log=out / "train.log")


def segment(cell: Cell, seed: int) -> dict[str, Any]:
    """The mean Dice of a cell's encoder, fine-tuned on a tenth of the labels."""
    train(cell, seed)
    out = cell.folder(seed) / "segment"
    simcrop(*cell.segment_command(seed), log=out / "log.txt")
    metrics = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    figures = {"dice": metrics["dice"]["value"]}
    KEPT_SEGMENTS.write(cell.key(seed), cell.segment_command(seed), figures)
    print(f"{cell.key(seed)}: segmented", flush=True)
    return figures


def phantoms(seed: int) -> list[str]:
    """The data of a seed; none of them is pretrain.yaml's own, which its settings were chosen on."""
    return [f"data.phantom_seed={seed}"]


def document(rows: Mapping[str, Sequence[dict[str, Any]]]) -> str:
    """The page with the table: mean and standard deviation over seeds."""
    first = next(iter(rows.values()))[0]
    lines = table(
        ("objectives", *COLUMNS),
        (
            (name, *(spread([column(summary) for summary in summaries]) for column in COLUMNS.values()))
            for name, summaries in rows.items()
        ),
    )
    untrained, voxels = (
        spread([s[f"probe_auroc_{what}"] for s in rows[CELLS[0].name]]) for what in ("untrained", "voxels")
    )
    intro = (
        f"Made by `make ablation` ({KEPT.hardware()}, one thread a run). Mean and standard deviation over seeds "
        f"{', '.join(map(str, SEEDS))}; a seed gives the phantoms, the weights and every draw; nothing was tuned "
        f"on these phantoms. Each run is pretrain.yaml with {STEPS} steps and its weights, those of absent objectives "
        f"0, and what a row says. {first['probe_num_labelled']} studies label the probe, "
        f"{first['probe_num_test']} or so test it. Untrained encoder: {untrained}; pooled voxels: {voxels}. "
        "Dice: of lungs and trachea after fine-tuning on 10 % of the labels (configs/segment.yaml), for two rows alone."
    )
    return "\n".join(("# The ablation", "", *textwrap.wrap(intro, 120), "", *lines)) + "\n"


if __name__ == "__main__":
    main()
