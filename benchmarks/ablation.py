"""The ablation: which objectives, and which negatives, are worth having: three seeds, one budget, as a table.

    make ablation

Every cell is one `simcrop train pretrain.yaml` in a process of its own with one thread, as many at once as there are
cores. Figures of finished cells are kept in benchmarks/results/ablation.json and not made again, so the command can be
stopped and repeated, on another machine too; `train.log` in a cell's folder says why it failed.
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
SEEDS, STEPS = (1, 2, 3), 200
OBJECTIVES = ("reconstruction", "report", "alignment", "late_interaction")


@dataclass(frozen=True)
class Cell:
    """A row of the table: the objectives that are on, with the weights of pretrain.yaml, and further settings.

    `steps` None takes those of pretrain.yaml: the default run, on phantoms that nothing was tuned on.
    """

    name: str
    on: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    steps: int | None = STEPS

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
    Cell("all", OBJECTIVES),
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
}


def main() -> None:
    """Run what is missing, then write the table."""
    jobs = [(cell, seed) for seed in SEEDS for cell in CELLS]
    for seed in sorted({seed for cell, seed in jobs if kept(cell, seed) is None}):
        simcrop("data", "prepare", CONFIG, *phantoms(seed))
    summaries = run_all(lambda job: kept(*job) or run(*job), jobs)
    rows = {
        cell.name: [summary for (which, _), summary in zip(jobs, summaries, strict=True) if which is cell]
        for cell in CELLS
    }
    TABLE.write_text(document(rows), encoding="utf-8")
    print(f"{TABLE}: written")


def kept(cell: Cell, seed: int) -> dict[str, Any] | None:
    """Figures of a cell that has finished."""
    return KEPT.read(_key(cell, seed), cell.options(seed))


def run(cell: Cell, seed: int) -> dict[str, Any]:
    """Figures of a cell: the numbers of its run's summary."""
    out = FOLDER / "".join(c if c.isalnum() else "-" for c in _key(cell, seed)).strip("-")
    simcrop("train", CONFIG, "--out", str(out), *cell.options(seed), log=out / "train.log")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    figures = {key: value for key, value in summary.items() if isinstance(value, int | float)}
    KEPT.write(_key(cell, seed), cell.options(seed), figures)
    print(f"{_key(cell, seed)}: finished", flush=True)
    return figures


def _key(cell: Cell, seed: int) -> str:
    return f"seed {seed}: {cell.name}"


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
        f"{first['probe_num_test']} or so test it. Untrained encoder: {untrained}; pooled voxels: {voxels}."
    )
    return "\n".join(("# The ablation", "", *textwrap.wrap(intro, 120), "", *lines)) + "\n"


if __name__ == "__main__":
    main()
