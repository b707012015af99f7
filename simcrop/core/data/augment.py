"""Random changes of a training volume: box, scale, flips and shift of intensity (docs/method.md, section 6).

Drawing and applying are apart: what is drawn is a small value that depends on the generator alone, and it is applied to
whole batches on the device that trains.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int16
from torch import Tensor
from torch.nn.functional import interpolate

from simcrop.core.randomness import generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, Size

AIR_HU = -1000
"""HU of what lies outside a volume."""
_INT16 = torch.iinfo(torch.int16)


@dataclass(frozen=True)
class Augmentation:
    """Changes of one study's prepared volume.

    Attributes:
        start: first voxel of the box in the prepared volume, negative where the box begins outside.
        size: voxels of the box.
        volume_size: voxels that the model sees; the box is resampled where it has others.
        flips: axes that are reversed.
        shift_hu: added to every voxel.
        pad: what lies outside the prepared volume.
    """

    start: Size
    size: Size
    volume_size: Size
    flips: tuple[int, ...] = ()
    shift_hu: int = 0
    pad: Literal["air", "reflect"] = "air"


@dataclass(frozen=True)
class Augmenter:
    """Draws augmentations for volumes that a model is trained on.

    Every study takes the same number of draws, so one switch of the recipe never changes the effect of another.

    Attributes:
        recipe: ranges and chances.
        model: size of the volume that it sees; its window is the unit of the shift.
        seed: of the run.
    """

    recipe: AugmentRecipe
    model: ModelRecipe
    seed: int

    def draw(self, prepared_size: Size, *occasion: object) -> Augmentation:
        """Draw the changes of a prepared volume on an occasion, such as an epoch of a study: always the same."""
        recipe, window = self.recipe, self.model.window
        draw = generator(self.seed, *occasion)
        draws: list[float] = torch.rand(9, generator=draw, dtype=torch.float64).tolist()
        low, high = recipe.scale
        scale = low + (high - low) * draws[0]
        size = _size(max(1, round(n * scale)) for n in self.model.volume_size)
        start = centre_start(prepared_size, size)
        if recipe.crop:
            start = _size(
                int(draw * (have - want + 1)) if have > want else first
                for draw, have, want, first in zip(draws[1:4], prepared_size, size, start, strict=True)
            )
        shift = 0.0
        if draws[7] < recipe.shift_probability:
            shift = (2 * draws[8] - 1) * recipe.shift * (window[1] - window[0]) / 2
        flips = tuple(axis for axis in range(3) if draws[4 + axis] < recipe.flip)
        return Augmentation(start, size, self.model.volume_size, flips, round(shift), recipe.pad)


def apply_augmentations(
    volumes: Int16[Tensor, "B H W D"], augmentations: Sequence[Augmentation]
) -> Int16[Tensor, "B 1 h w d"]:
    """Prepared volumes as the model sees them."""
    pairs = zip(volumes, augmentations, strict=True)
    return torch.stack([apply_augmentation(volume, each) for volume, each in pairs])[:, None]


def apply_augmentation(voxels: Int16[Tensor, "H W D"], augmentation: Augmentation) -> Int16[Tensor, "h w d"]:
    """The augmented box, a new tensor on the device of the prepared volume; HU saturate at the limits of int16."""
    box = crop(voxels, augmentation.start, augmentation.size, pad=augmentation.pad)
    if augmentation.size != augmentation.volume_size:
        size = augmentation.volume_size
        resized = interpolate(box[None, None].float(), size=size, mode="trilinear", align_corners=False)
        box = resized[0, 0].round().to(torch.int16)
    if augmentation.flips:
        box = box.flip(augmentation.flips)
    if augmentation.shift_hu:
        box = (box.int() + augmentation.shift_hu).clamp(_INT16.min, _INT16.max).to(torch.int16)
    return box


def crop(voxels: Int16[Tensor, "H W D"], start: Size, size: Size, *, pad: Literal["air", "reflect"] = "air") -> Tensor:
    """A copy of the box that begins at `start`, air or mirrored voxels where it reaches outside."""
    if pad == "reflect" and any(
        first < 0 or first + want > have for first, want, have in zip(start, size, voxels.shape, strict=True)
    ):
        for axis, (first, want) in enumerate(zip(start, size, strict=True)):
            voxels = voxels.index_select(axis, _mirrored(first, want, voxels.shape[axis]).to(voxels.device))
        return voxels
    lows = [max(0, first) for first in start]
    highs = [max(0, min(have, first + want)) for first, want, have in zip(start, size, voxels.shape, strict=True)]
    inner = voxels[tuple(slice(low, high) for low, high in zip(lows, highs, strict=True))]
    if inner.shape == size:
        return inner.clone()
    box = voxels.new_full(size, AIR_HU)
    if inner.numel():
        into = tuple(
            slice(low - first, low - first + length)
            for low, first, length in zip(lows, start, inner.shape, strict=True)
        )
        box[into] = inner
    return box


def crop_centre(voxels: Int16[Tensor, "H W D"], size: Size) -> Tensor:
    """The box of `size` at the centre, air where it reaches outside: what evaluation sees."""
    return crop(voxels, centre_start(size_of(voxels), size), size)


def centre_start(have: Size, want: Size) -> Size:
    """Start of a box of size `want` at the centre of `have`; negative where it is larger."""
    return _size((h - w) // 2 for h, w in zip(have, want, strict=True))


def size_of(voxels: Tensor) -> Size:
    """Voxels along x, y, z."""
    return _size(voxels.shape)


def _size(values: Iterable[int]) -> Size:
    x, y, z = values
    return x, y, z


def _mirrored(first: int, want: int, have: int) -> Tensor:
    """Indices first..first+want-1, mirrored at the outermost voxels (which are not repeated)."""
    period = max(1, 2 * (have - 1))
    index = torch.arange(first, first + want).remainder(period)
    return torch.minimum(index, period - index).clamp_max(have - 1)
