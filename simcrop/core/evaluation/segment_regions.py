"""The part of a volume that is segmented, and the changes of a region that a network learns from."""

import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.model.patches import apply_window
from simcrop.core.ops import Window

_HU = torch.iinfo(torch.int16)


def foreground_box(voxels: Int16[Tensor, "H W D"], window: Window) -> tuple[slice, slice, slice]:
    """The smallest box with every voxel above the middle of a window; the whole volume where there is none.

    Args:
        voxels: HU.
        window: HU range of the model.

    Source: docs/method.md, section 9.
    """
    is_foreground = voxels > sum(window) / 2
    if not bool(is_foreground.any()):
        return slice(None), slice(None), slice(None)
    x, y, z = (_extent(is_foreground, axis) for axis in range(3))
    return x, y, z


def changed_region(
    region: Int16[Tensor, "2 h w d"], settings: SegmentSettings, window: Window, draw: torch.Generator
) -> Int16[Tensor, "2 h w d"]:
    """A region flipped, and its intensity scaled and shifted, each by the chance that the settings give.

    Args:
        region: HU, and the class of each voxel.
        settings: the `segment` section.
        window: HU range of the model; intensity is changed as it stands there, from -1 to 1.
        draw: source of the draws.

    Returns:
        HU, whole numbers, which may lie outside of the window; and classes.
    """
    flipped = [axis for axis in (1, 2, 3) if _happens(settings.flip, draw)]
    region = region.flip(flipped) if flipped else region
    scale, shift = (
        _within(limit, draw) if limit and _happens(settings.intensity_probability, draw) else 0.0
        for limit in (settings.intensity_scale, settings.intensity_shift)
    )
    if scale == shift == 0:
        return region
    low, high = window
    values = apply_window(region[0], window) * (1 + scale) + shift
    hu = (values + 1) / 2 * (high - low) + low
    return torch.stack([hu.round().clamp(_HU.min, _HU.max).to(torch.int16), region[1]])


def _extent(is_foreground: Tensor, axis: int) -> slice:
    others = [other for other in range(3) if other != axis]
    places = is_foreground.any(others[1]).any(others[0]).nonzero()
    return slice(int(places.min()), int(places.max()) + 1)


def _happens(chance: float, draw: torch.Generator) -> bool:
    return chance > 0 and float(torch.rand((), generator=draw)) < chance


def _within(limit: float, draw: torch.Generator) -> float:
    return limit * (2 * float(torch.rand((), generator=draw)) - 1)
