"""The part of a scan that a model sees: resampled onto its grid, the centre cut out."""

from dataclasses import dataclass

from jaxtyping import Int16
from torch import Tensor

from simcrop.adapters.checkpoints.encoder_file import open_weights
from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import usual_prepared_size, with_model
from simcrop.adapters.formats.scan import Scan
from simcrop.adapters.loading.own_volumes import centre_of
from simcrop.adapters.loading.resample import Grid
from simcrop.core.recipe import ModelRecipe


@dataclass(frozen=True)
class View:
    """What a model sees of a scan.

    Attributes:
        grid: that scans are resampled onto: of prepared volumes, so that evaluation sees the same.
        recipe: of the model; `volume_size` is the centre that is cut of it.
    """

    grid: Grid
    recipe: ModelRecipe

    @classmethod
    def of(cls, checkpoint: str, recipe: ModelRecipe) -> "View":
        """That of a checkpoint's model."""
        return cls.by(open_weights(local_copy(checkpoint, None)).run_config(), recipe)

    @classmethod
    def by(cls, config: RunConfig | None, recipe: ModelRecipe) -> "View":
        """That of a model, by the configuration that it was trained with, where it is known."""
        size = usual_prepared_size(recipe) if config is None else with_model(config, recipe).data.prepared_size
        assert size is not None
        return cls(Grid(recipe.spacing_mm, size), recipe)

    def volume(self, scan: Scan) -> Int16[Tensor, "1 1 H W D"]:
        """What the model sees of a scan, HU."""
        return centre_of(scan.volume, self.grid, self.recipe.volume_size).voxels[None, None]
