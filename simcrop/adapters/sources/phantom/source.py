"""Phantom chests as a data set of a run."""

from pathlib import Path
from typing import Self, Unpack

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.sources.base import Options
from simcrop.adapters.sources.ct_rate import CTRateSource, HuDeclaration
from simcrop.adapters.sources.phantom.eraser import PhantomEraser
from simcrop.adapters.sources.phantom.writer import write_phantoms
from simcrop.adapters.system.progress import counted
from simcrop.core.data.problems import OnProblem
from simcrop.core.evaluation.published import UNPUBLISHED


class PhantomSource(CTRateSource):
    """Chests in CT-RATE's layout, written first where they are missing."""

    licence = "The training volumes are generated phantoms, which bind nobody."
    published = UNPUBLISHED

    def __init__(self, root: Path, *, hu: HuDeclaration = "hu", **declared: Unpack[Options]) -> None:
        super().__init__(root, hu=hu, **declared)
        self.eraser = PhantomEraser(root)

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The phantoms that a configuration describes."""
        assert data.root is not None
        with counted(f"phantom chests in {data.root}") as progress:
            write_phantoms(
                data.root,
                num_cases=data.cases,
                seed=data.phantom_seed,
                validation_fraction=data.validation_fraction,
                progress=progress,
                waits=True,  # two runs may begin at a time with the same phantoms
            )
        return super().build(data, on_problem)

    @classmethod
    def described(cls, data: DataSettings) -> str:
        """Number of phantoms."""
        return f"{data.cases} generated phantom chests, {data.validation_fraction:.0%} of their patients held out"
