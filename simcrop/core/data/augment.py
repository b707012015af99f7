"""Random changes of a training volume: box, scale, flips and shift of intensity (docs/method.md, section 6).

Drawing and applying are apart: what is drawn is a small value that depends on the generator alone. Boxes are cut where
volumes are read, so that nothing else is read; the rest is applied on the device that trains.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Int16, Shaped
from torch import Tensor
from torch.nn.functional import interpolate

from simcrop.core.randomness import generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, Size

AIR_HU = -1000
"""HU of what lies outside a volume."""
_INT16 = torch.iinfo(torch.int16)

Part = tuple[slice, slice, slice]
"""Voxels of a volume, all of them inside it."""
CopyPart = Callable[[Part, Tensor], object]
"""Copies a part of a volume into a tensor of its size."""


@dataclass(frozen=True)
class Augmentation:
    """Changes of one study's prepared volume.

    Attributes:
        start: first voxel of the box in the prepared volume, negative where the box begins outside.
        size: voxels of the box.
        volume_size: voxels that the model sees.
        fit: what is done to a box of other size. zoom: it is resampled; mirror: it is continued by mirrored voxels.
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
    fit: Literal["zoom", "mirror"] = "zoom"


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

    @property
    def largest_box(self) -> int:
        """Voxels of the largest box."""
        return math.prod(self.model.volume_size if self.recipe.scaling == "cut" else self._zoomed(self.recipe.scale[1]))

    def draw(self, prepared_size: Size, *occasion: object) -> Augmentation:
        """Draw the changes of a prepared volume on an occasion, such as an epoch of a study: always the same."""
        recipe, window = self.recipe, self.model.window
        draw = generator(self.seed, *occasion)
        draws: list[float] = torch.rand(9, generator=draw, dtype=torch.float64).tolist()
        if recipe.scaling == "cut":
            more: list[float] = torch.rand(6, generator=draw, dtype=torch.float64).tolist()
            part = _size(map(self._part_length, prepared_size, more[:3]))
            first, size = self._start(prepared_size, part, more[3:]), _size(map(min, part, self.model.volume_size))
            start = _size(map(sum, zip(first, self._start(part, size, draws[1:4]), strict=True)))
        else:
            low, high = recipe.scale
            size = self._zoomed(low + (high - low) * draws[0])
            start = self._start(prepared_size, size, draws[1:4])
        shift = 0.0
        if draws[7] < recipe.shift_probability:
            shift = (2 * draws[8] - 1) * recipe.shift * (window[1] - window[0]) / 2
        flips = tuple(axis for axis in range(3) if draws[4 + axis] < recipe.flip)
        fit = "mirror" if recipe.scaling == "cut" else "zoom"
        return Augmentation(start, size, self.model.volume_size, flips, round(shift), recipe.pad, fit)

    def _start(self, have: Size, want: Size, draws: Sequence[float]) -> Size:
        """First voxel of a box of size `want`: anywhere inside, at the centre where there is no room or no crop."""
        centre = centre_start(have, want)
        if not self.recipe.crop:
            return centre
        return _size(
            int(draw * (h - w + 1)) if h > w else first
            for draw, h, w, first in zip(draws, have, want, centre, strict=True)
        )

    def _zoomed(self, scale: float) -> Size:
        return _size(max(1, round(n * scale)) for n in self.model.volume_size)

    def _part_length(self, have: int, draw: float) -> int:
        """Voxels of a part along an axis: any whole number in the range of the scale is as likely."""
        low, high = (math.ceil(have * scale) for scale in self.recipe.scale)
        return low + int(draw * (high - low + 1))


def boxes_of(voxels: Int16[Tensor, "..."], augmentations: Sequence[Augmentation]) -> list[Tensor]:
    """The boxes that augmentations cut and that lie one after the other, each in its size; views."""
    sizes = [each.size for each in augmentations]
    boxes = voxels.flatten().split([math.prod(size) for size in sizes])
    return [box.view(size) for box, size in zip(boxes, sizes, strict=True)]


def augment_boxes(voxels: Int16[Tensor, "..."], augmentations: Sequence[Augmentation]) -> Int16[Tensor, "B 1 h w d"]:
    """Boxes that lie one after the other as the model sees them, made on their device."""
    pairs = zip(boxes_of(voxels, augmentations), augmentations, strict=True)
    return torch.stack([augment_box(box, each) for box, each in pairs])[:, None]


def augment_box(box: Int16[Tensor, "H W D"], augmentation: Augmentation) -> Int16[Tensor, "h w d"]:
    """A box that was cut, in the size that the model sees, reversed and shifted; HU saturate at the limits of int16."""
    box = place_box(box, augmentation)
    if augmentation.shift_hu:
        box = (box.int() + augmentation.shift_hu).clamp(_INT16.min, _INT16.max).to(torch.int16)
    return box


def resamples(augmentation: Augmentation) -> bool:
    """Whether a box is resampled, so that its voxels get values that lie between those which were cut."""
    return augmentation.size != augmentation.volume_size and augmentation.fit == "zoom"


def place_box(box: Shaped[Tensor, "H W D"], augmentation: Augmentation) -> Shaped[Tensor, "h w d"]:
    """A box that was cut, of HU or of anything else that voxels have, in the size that the model sees, and reversed.

    Args:
        box: whole numbers are rounded where they are resampled.
        augmentation: by which the box was cut.
    """
    have, size = augmentation.size, augmentation.volume_size
    if resamples(augmentation):
        resized = interpolate(box[None, None].float(), size=size, mode="trilinear", align_corners=False)[0, 0]
        box = resized if box.is_floating_point() else resized.round().to(box.dtype)
    elif have != size:
        for axis, (length, want) in enumerate(zip(have, size, strict=True)):
            box = box.index_select(axis, _mirrored(-((want - length) // 2), want, length).to(box.device))
    return box.flip(augmentation.flips) if augmentation.flips else box


def crop(voxels: Int16[Tensor, "H W D"], start: Size, size: Size, *, pad: Literal["air", "reflect"] = "air") -> Tensor:
    """A copy of the box that begins at `start`, air or mirrored voxels where it reaches outside."""
    box = voxels.new_empty(size)
    cut_box(lambda part, into: into.copy_(voxels[part]), size_of(voxels), start, box, pad=pad)
    return box


def cut_box(
    copy_part: CopyPart,
    have: Size,
    start: Size,
    box: Int16[Tensor, "h w d"],
    *,
    pad: Literal["air", "reflect"] = "air",
    air: int = AIR_HU,
) -> None:
    """Fill a box that begins at `start`; of the volume no more is asked for than lies in it.

    Args:
        copy_part: gives the voxels of the volume.
        have: size of the volume.
        start: first voxel of the box, negative where it begins outside.
        box: is filled.
        pad: what lies outside the volume.
        air: the value of air.
    """
    want = size_of(box)
    ends = [first + length for first, length in zip(start, want, strict=True)]
    is_inside = min(start) >= 0 and all(end <= length for end, length in zip(ends, have, strict=True))
    if is_inside:
        copy_part(_part(start, ends), box)
    elif pad == "reflect":
        _cut_mirrored(copy_part, have, start, box)
    else:
        box.fill_(air)
        lows = [max(0, first) for first in start]
        highs = [min(end, length) for end, length in zip(ends, have, strict=True)]
        if all(low < high for low, high in zip(lows, highs, strict=True)):
            copy_part(
                _part(lows, highs),
                box[tuple(slice(low - s, high - s) for low, high, s in zip(lows, highs, start, strict=True))],
            )


def _cut_mirrored(copy_part: CopyPart, have: Size, start: Size, box: Tensor) -> None:
    """As `cut_box`, with mirrored voxels outside."""
    indices = [_mirrored(*axis) for axis in zip(start, box.shape, have, strict=True)]
    lows, highs = [int(index.min()) for index in indices], [int(index.max()) + 1 for index in indices]
    voxels = box.new_empty([high - low for low, high in zip(lows, highs, strict=True)])
    copy_part(_part(lows, highs), voxels)
    for axis, (index, low) in enumerate(zip(indices, lows, strict=True)):
        voxels = voxels.index_select(axis, (index - low).to(voxels.device))
    box.copy_(voxels)


def crop_centre(voxels: Int16[Tensor, "H W D"], size: Size) -> Tensor:
    """The box of `size` at the centre, air where it reaches outside: what evaluation sees."""
    return crop(voxels, centre_start(size_of(voxels), size), size)


def centre_start(have: Size, want: Size) -> Size:
    """Start of a box of size `want` at the centre of `have`; negative where it is larger."""
    return _size((h - w) // 2 for h, w in zip(have, want, strict=True))


def size_of(voxels: Tensor) -> Size:
    """Voxels along x, y, z."""
    return _size(voxels.shape)


def _part(lows: Sequence[int], highs: Sequence[int]) -> Part:
    x, y, z = (slice(low, high) for low, high in zip(lows, highs, strict=True))
    return x, y, z


def _size(values: Iterable[int]) -> Size:
    x, y, z = values
    return x, y, z


def _mirrored(first: int, want: int, have: int) -> Tensor:
    """Indices first..first+want-1, mirrored at the outermost voxels (which are not repeated)."""
    period = max(1, 2 * (have - 1))
    index = torch.arange(first, first + want).remainder(period)
    return torch.minimum(index, period - index).clamp_max(have - 1)
