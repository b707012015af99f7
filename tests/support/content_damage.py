"""Damage to the voxels of a file or to their affine: what is done to it, and the codes that are found."""

from collections.abc import Callable

import numpy as np

from support.damage import FileDamage, affine, field, voxels

NAN, INF = float("nan"), float("inf")
_FOV = {"content.field_of_view"}


def _eight_bit(hu: np.ndarray) -> np.ndarray:
    return np.clip((hu + 160.0) / 400 * 255, 0, 255).astype(np.uint8)


def _with(value: float, *places: tuple[int, int, int]) -> Callable[[np.ndarray], np.ndarray]:
    def change(hu: np.ndarray) -> np.ndarray:
        changed = hu.astype(np.float32)
        for place in places:
            changed[place] = value
        return changed

    return change


def padded(hu: np.ndarray) -> np.ndarray:
    """With a scanner's round field of view."""
    x, y, _ = np.meshgrid(*(np.linspace(-1, 1, n) for n in hu.shape), indexing="ij")
    return np.where(x**2 + y**2 > 1, -8192, hu).astype(np.int16)


CONTENT: dict[str, tuple[FileDamage, set[str]]] = {
    "a time series": (voxels(lambda hu: np.stack([hu, hu], axis=-1)), {"content.not_3d"}),
    "a colour picture": (voxels(lambda hu: np.stack([hu] * 3, axis=-1)[:, :, :, None]), {"content.not_3d"}),
    "one slice": (voxels(lambda hu: hu[:, :, 0]), {"content.not_3d"}),
    "too few slices": (voxels(lambda hu: hu[:, :, 8:12]), {"content.few_slices"} | _FOV),
    "all zero": (voxels(np.zeros_like), {"content.constant"}),
    "all air": (voxels(lambda hu: np.full_like(hu, -1000)), {"content.constant"}),
    "a NaN": (voxels(_with(NAN, (3, 4, 5))), {"content.not_finite"}),
    "infinities": (voxels(_with(-INF, (3, 4, 5), (0, 0, 0))), {"content.not_finite"}),
    "nothing but NaN": (voxels(lambda hu: np.full(hu.shape, NAN, np.float32)), {"content.not_finite"}),
    "raw, +1024": (voxels(lambda hu: (hu + 1024).astype(np.uint16)), {"content.raw_values"}),
    "raw, +8192": (voxels(lambda hu: (hu + 8192).astype(np.uint16)), {"content.raw_values"}),
    "grey values of a picture": (voxels(_eight_bit), {"content.eight_bit"}),
    "grey values from 0 to 1": (voxels(lambda hu: _eight_bit(hu) / np.float32(255)), {"content.eight_bit"}),
    "HU applied twice": (voxels(lambda hu: hu - 1024), {"content.hu_twice"}),
    "HU applied twice, with metal": (
        voxels(lambda hu: np.where(np.arange(hu.size).reshape(hu.shape) % 250 == 0, 2000, hu - 1024)),
        {"content.hu_twice"},
    ),
    "HU applied twice by the header": (field((112, "2f", (1, -1024))), {"content.hu_twice"}),
    "the wrong intercept": (voxels(lambda hu: hu - 8192), {"content.hu_twice"}),
    "padding undeclared": (voxels(padded), {"content.padding"}),
    "spacing in metres": (affine(lambda a: np.diag([1e-4, 1e-4, 1e-4, 1]) @ a), {"header.spacing"} | _FOV),
    "spacing in micrometres": (affine(lambda a: np.diag([1e3, 1e3, 1e3, 1]) @ a), {"header.spacing"} | _FOV),
    "spacing huge": (affine(lambda a: a * [1, 1, 2.5, 1]), {"header.spacing"}),
    "spacing tiny": (affine(lambda a: a * [5e-3, 5e-3, 5e-3, 1]), {"header.spacing"} | _FOV),
    "a head": (affine(lambda a: a * [0.5, 0.5, 0.8, 1]), _FOV),
}
