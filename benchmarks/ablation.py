"""The ablation: which objectives, and which negatives, are worth having: three seeds, one budget, as a table.

    make ablation

Every cell is one `simcrop train pretrain.yaml` in a process of its own with one thread, as many at once as there are
cores. A cell that has finished is read, not run again, so the command can be stopped and repeated; its folder holds
`train.log`, which says why a cell failed.
"""

import json
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cells import run_all, simcrop, spread, table
from measuring import hardware

FOLDER, TABLE = Path("runs/ablation"), Path("docs/ablation.md")
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

COLUMNS: dict[str, Callable[[dict[str, Any]], float | None]] = {
    "probe AUROC, mean token": lambda s: s["probe_auroc"],
    "of prototypes": lambda s: s["probe_auroc_prototypes"],
    "hit rate": lambda s: s["grounding_hit_rate"],
    "map AUC": lambda s: s["grounding_auc"],
    "evidence AUC": lambda s: s["grounding_auc_evidence"],
    "own above others": lambda s: s["grounding_own_above_others"],
}


def main() -> None:
    """Run what is missing, then write the table."""
    for seed in SEEDS:
        simcrop("data", "prepare", "pretrain.yaml", *phantoms(seed))
    jobs = [(cell, seed) for seed in SEEDS for cell in CELLS]
    summaries = run_all(lambda job: run(*job), jobs)
    rows = {
        cell.name: [summary for (which, _), summary in zip(jobs, summaries, strict=True) if which is cell]
        for cell in CELLS
    }
    TABLE.write_text(document(rows), encoding="utf-8")
    print(f"{TABLE}: written")


def run(cell: Cell, seed: int) -> dict[str, Any]:
    """The summary of one cell."""
    out = FOLDER / f"{''.join(c if c.isalnum() else '-' for c in cell.name).strip('-')}-{seed}"
    summary = out / "summary.json"
    if not summary.exists():
        simcrop("train", "pretrain.yaml", "--out", str(out), *cell.options(seed), log=out / "train.log")
        print(f"{cell.name}, seed {seed}: finished", flush=True)
    return json.loads(summary.read_text(encoding="utf-8"))


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
        f"Made by `make ablation` ({hardware()}, one thread a run). Mean and standard deviation over seeds "
        f"{', '.join(map(str, SEEDS))}; a seed gives the phantoms, the weights and every draw; nothing was tuned "
        f"on these phantoms. Each run is pretrain.yaml with {STEPS} steps and its weights, those of absent objectives "
        f"0, and what a row says. {first['probe_num_labelled']} studies label the probe, "
        f"{first['probe_num_test']} or so test it. Untrained encoder: {untrained}; pooled voxels: {voxels}."
    )
    return "\n".join(("# The ablation", "", *textwrap.wrap(intro, 120), "", *lines)) + "\n"


if __name__ == "__main__":
    main()
