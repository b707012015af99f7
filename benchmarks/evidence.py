"""The evidence: what pre-training is worth on phantoms, by every evaluation, over three seeds: docs/results.md.

    make results

A seed gives the phantoms, the weights and every draw. Each cell is one command of simcrop in a process of its own with
one thread, as many at once as there are cores. A cell that has finished is read, not run again, so the command can be
stopped and repeated; `log.txt` in a cell's folder says why it failed.
"""

from pathlib import Path

from cells import run_all, simcrop
from evidence_cells import ARMS, CONFIG, EVALUATIONS, PRETRAINING, SEEDS, run, seeded
from evidence_page import document

PAGE = Path("docs/results.md")


def main() -> None:
    """Run what is missing, then write the page."""
    for seed in SEEDS:
        simcrop("data", "prepare", CONFIG, *seeded(seed))
    waits = [cell for cell in EVALUATIONS if cell.arm in ARMS]
    run_all(run, [*PRETRAINING, *(cell for cell in EVALUATIONS if cell not in waits)])
    run_all(run, waits)
    PAGE.write_text(document(), encoding="utf-8")
    print(f"{PAGE}: written")


if __name__ == "__main__":
    main()
