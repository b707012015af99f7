"""simcrop data phantom"""

from pathlib import Path
from typing import Annotated

import typer


def phantom(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; made where it is missing.")],
    cases: Annotated[int, typer.Option(min=1, help="Studies to make.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    validation_fraction: Annotated[float, typer.Option(min=0, max=0.9, help="Share of held-out patients.")] = 0.2,
) -> None:
    """Make phantom chests with reports and ground truth, as files in CT-RATE's layout.

    Example: simcrop data phantom data/chests --cases 64 --seed 1
    """
    from simcrop.adapters.sources.phantom import write_phantoms
    from simcrop.adapters.system.progress import counted

    with counted("phantom chests") as progress:
        write_phantoms(out, num_cases=cases, seed=seed, validation_fraction=validation_fraction, progress=progress)
    print(f"{out}: {cases} studies; train on them with --set data.source=ct_rate --set data.root={out}")
