"""Random changes of a training volume."""

from dataclasses import dataclass
from typing import Literal

from simcrop.core.recipe.section import Section, require


@dataclass(frozen=True)
class AugmentRecipe(Section):
    """Random changes of a training volume (docs/method.md, section 6)."""

    crop: bool = True
    """Crop at random inside the prepared volume; False: at the centre."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Range of the size of what is cut of a volume, 1 for all of what `scaling` names."""
    scaling: Literal["zoom", "cut"] = "zoom"
    """zoom: a box, relative to volume_size and alike on all axes, is resampled to volume_size. cut (paper): of a part
    of the prepared volume, each axis by itself, a box of volume_size is read, mirrored where the part is smaller;
    nothing is resampled."""
    flip: float = 0.0
    """Chance of a flip along each axis (paper 0.2; left and right carry meaning in reports)."""
    pad: Literal["air", "reflect"] = "air"
    """What lies outside the prepared volume."""
    shift: float = 0.1
    """Largest shift of intensity, in units of the windowed range [-1, 1]."""
    shift_probability: float = 0.1
    """Chance of a shift."""

    def __post_init__(self) -> None:
        require(0 < self.scale[0] <= self.scale[1], f"augment.scale: {self.scale} is not an ascending range above 0")
        is_part = self.scaling == "zoom" or self.scale[1] <= 1
        require(is_part, f"augment.scale: {self.scale} exceeds 1, and scaling: cut takes a part of the volume")
        self._within("[0, 1]", "augment.flip", "augment.shift_probability")
