"""The evidence: what pre-training is worth on phantoms, by every evaluation, over three seeds: docs/results.md.

    make results

A seed gives the phantoms, the weights and every draw. Each cell is one command of simcrop in a process of its own with
one thread, as many at once as there are cores. Figures of finished cells are kept in benchmarks/results/evidence.json
and not made again, so the command can be stopped and repeated, on another machine too; there it pre-trains only what is
still to be measured. `log.txt` in a cell's folder says why it failed.
"""

from pathlib import Path

from cells import run_all, simcrop
from evidence_cells import ARMS, CONFIG, EVALUATIONS, Cell, seeded
from evidence_page import document

PAGE = Path("docs/results.md")


def main() -> None:
    """Run what is missing, then write the page."""
    missing = [cell for cell in EVALUATIONS if cell.kept() is None]
    for seed in sorted({cell.seed for cell in missing}):
        simcrop("data", "prepare", CONFIG, *seeded(seed))
    waits = [cell for cell in missing if cell.arm in ARMS]
    pretraining = list(dict.fromkeys(Cell("pretrain", cell.arm, cell.seed) for cell in waits))
    run_all(Cell.run, [*pretraining, *(cell for cell in missing if cell not in waits)])
    run_all(Cell.run, waits)
    PAGE.write_text(document(), encoding="utf-8")
    print(f"{PAGE}: written")


if __name__ == "__main__":
    main()
