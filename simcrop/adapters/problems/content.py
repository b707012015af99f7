"""Do these voxels look like a chest CT in HU? Judged chunk by chunk, so that no volume has to be held."""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from simcrop.adapters.problems.surroundings import NO_MATTER, Surroundings
from simcrop.core.data.problems import Problem, problem, refuse
from simcrop.core.data.study import Volume

Scaling = tuple[float, float]
"""(slope, intercept): HU = slope * stored + intercept."""
PaddingValue = float | Sequence[float] | None
"""HU that stand for "outside the field of view": one, several or none."""

MIN_SLICES = 8
"""Fewer voxels along any axis are no volume of a chest."""
_LOW, _HIGH, _BIN = -9216, 9216, 16
_STRIDE, _FEW_VOXELS = 7, 1 << 22
"""Every seventh voxel enters the histogram: prime to any row length that scanners use. Of few voxels all do, since one
may decide, and which are the seventh hangs on the order of the axes."""
_THIN, _DENSE = (-1100, -300), -200
"""Lung and air; soft tissue and bone."""
_MIN_THIN, _MIN_DENSE = 1e-3, 2e-2
"""Shares of the voxels: where HU were shifted down twice, metal and contrast medium still reach above soft tissue."""
_MIN_PADDING_SHARE = 5e-3
"""Of one value: noise reaches below air too, but spreads."""
_WIDTH_MM, _HEIGHT_MM = (180.0, 620.0), (120.0, 800.0)


class ContentScan:
    """Statistics of the voxels of a volume.

    Args:
        num_voxels: of the whole volume.
        scaling: turns the stored numbers into HU.
        padding_value: HU that stand for "outside the field of view", as declared; not judged.
    """

    def __init__(self, num_voxels: int, scaling: Scaling = (1.0, 0.0), padding_value: PaddingValue = None) -> None:
        self._stride = _STRIDE if num_voxels > _FEW_VOXELS else 1
        self._scaling, self._padding = scaling, padding_values(padding_value)
        self._digest = hashlib.blake2b(digest_size=16)
        self._counts = np.zeros((_HIGH - _LOW) // _BIN, np.int64)
        self._low, self._high = np.inf, -np.inf
        self.surroundings = Surroundings(self._hu, self._padding)
        self.is_whole = True
        self.num_not_finite = 0
        self.num_voxels = 0

    def add(self, stored: np.ndarray) -> None:
        """The next voxels, in the order of the file."""
        stored = stored.ravel(order="K")
        self._digest.update(np.ascontiguousarray(stored).data)
        start = -self.num_voxels % self._stride
        self.num_voxels += stored.size
        if stored.dtype.kind == "f":
            finite = np.isfinite(stored)
            num_finite = int(finite.sum())
            self.num_not_finite += stored.size - num_finite
            if not num_finite:
                return
            if num_finite < stored.size:
                stored = np.where(finite, stored, stored[finite][0])
            self.is_whole = self.is_whole and bool((stored == np.round(stored)).all())
        self._low, self._high = min(self._low, float(stored.min())), max(self._high, float(stored.max()))
        self._count(*_values_and_counts(stored[start :: self._stride]))
        self.surroundings.add(stored)

    def _hu(self, values: np.ndarray) -> np.ndarray:
        """HU, at most what is beyond any, and within what the floor of a bin can be taken of."""
        slope, intercept = self._scaling
        with np.errstate(over="ignore"):
            return np.clip(values.astype(np.float64) * slope + intercept, 10 * _LOW, 10 * _HIGH)

    def _count(self, values: np.ndarray, counts: np.ndarray | None) -> None:
        hu = self._hu(values)
        if self._padding:
            kept = ~np.isin(hu, self._padding)
            hu, counts = hu[kept], None if counts is None else counts[kept]
        bins = np.clip((hu - _LOW) // _BIN, 0, len(self._counts) - 1).astype(np.int64)
        self._counts += np.bincount(bins, counts, minlength=len(self._counts)).astype(np.int64)

    @property
    def digest(self) -> str:
        """Hash of the stored voxels in their order."""
        return self._digest.hexdigest()

    @property
    def range_hu(self) -> tuple[float, float]:
        """Smallest and largest finite voxel."""
        slope, intercept = self._scaling
        low, high = (value * slope + intercept for value in (self._low, self._high))
        return min(low, high), max(low, high)

    def share(self, low: float, high: float) -> float:
        """Share of the voxels between two HU (of a sample, to the bin)."""
        edges = np.arange(_LOW, _HIGH, _BIN)
        return float(self._counts[(edges >= low) & (edges < high)].sum() / max(1, self._counts.sum()))

    def most_common(self, low: float, high: float) -> float:
        """The commonest HU between two (to the bin)."""
        edges = np.arange(_LOW, _HIGH, _BIN)
        inside = (edges >= low) & (edges < high)
        return float(edges[inside][int(self._counts[inside].argmax())] + _BIN / 2)


def padding_values(padding_value: PaddingValue) -> tuple[float, ...]:
    """The HU that stand for "outside the field of view"."""
    if padding_value is None:
        return ()
    return (float(padding_value),) if isinstance(padding_value, int | float) else tuple(map(float, padding_value))


def _values_and_counts(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Each value once with its count, where numbers of 16 bits allow it quickly; else the sample itself."""
    if sample.dtype.kind not in "iu" or sample.dtype.itemsize != 2 or not sample.size:
        return sample, None
    lowest = int(sample.min())
    counts = np.bincount(sample.astype(np.int64) - lowest)
    values = np.flatnonzero(counts)
    return values + lowest, counts[values]


def refuse_content(file: Path | str, volume: Volume) -> None:
    """Raise BadFileError where a check of the data set would call a volume's extent or content an error."""
    scan = ContentScan(volume.voxels.numel())
    scan.add(volume.voxels.numpy())
    x, y, z = volume.voxels.shape
    for found in (*shape_problems(file, (x, y, z), volume.spacing_mm), *content_problems(file, scan)):
        refuse(found)


def content_problems(file: Path | str, scan: ContentScan, *, expects_hu: bool = True) -> Iterator[Problem]:
    """Problems of voxels that have all been added."""
    if scan.num_not_finite:
        yield problem(
            file, "content.not_finite", f"holds {scan.num_not_finite} NaN or infinite voxels", count=scan.num_not_finite
        )
    if scan.num_not_finite == scan.num_voxels:
        return
    low, high = scan.range_hu
    if not low < high:
        yield problem(file, "content.constant", f"holds the same value, {low:g}, in every voxel", value=low)
        return
    if expects_hu:
        yield from _hu_problems(file, scan, low, high)


def _hu_problems(file: Path | str, scan: ContentScan, low: float, high: float) -> Iterator[Problem]:
    """Air lies near -1000 HU and soft tissue near 40. In raw values both are 1024, or 8192, higher."""
    thin, dense = scan.share(*_THIN), scan.share(_DENSE, _HIGH)
    values = {"minimum": low, "maximum": high, "share_of_lung_and_air": thin, "share_of_soft_tissue": dense}
    if dense < _MIN_DENSE:
        message = f"has next to no soft tissue (above -200 HU: {dense:.1%} of its voxels); it ends at {high:g}"
        yield problem(file, "content.hu_twice", message, **values)
    elif thin < _MIN_THIN:
        if low >= 0 and high <= 255:
            message = f"holds {low:g} to {high:g}, the grey values of a picture"
            yield problem(file, "content.eight_bit", message, **values, is_whole=scan.is_whole)
        else:
            lowest = scan.most_common(NO_MATTER if low >= NO_MATTER else _LOW, _HIGH)
            message = f"has no lung or air (-1100 to -300 HU); its commonest value is near {lowest:g}"
            yield problem(file, "content.raw_values", message, **values)
    if dense < _MIN_DENSE or thin < _MIN_THIN:
        return
    value = scan.most_common(_LOW, NO_MATTER)
    padding = scan.share(value - _BIN / 2, value + _BIN / 2)
    if padding > _MIN_PADDING_SHARE:
        message = f"holds a value near {value:g}, and down to {low:g}, in {padding:.1%} of its voxels"
        yield problem(file, "content.padding", message, minimum=low, share=padding)
    yield from scan.surroundings.problems(file)


def shape_problems(
    file: Path | str, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> Iterator[Problem]:
    """Problems of a volume's extent.

    Args:
        file: for the message.
        shape: voxels along right, front, head.
        spacing_mm: of the voxels, in the same order.
    """
    if min(shape) < MIN_SLICES:
        yield problem(file, "content.few_slices", f"has {shape} voxels; {MIN_SLICES} are needed", shape=list(shape))
    width, depth, height = (n * mm for n, mm in zip(shape, spacing_mm, strict=True))
    inside = [_WIDTH_MM[0] <= width <= _WIDTH_MM[1], _WIDTH_MM[0] <= depth <= _WIDTH_MM[1]]
    if not (all(inside) and _HEIGHT_MM[0] <= height <= _HEIGHT_MM[1]):
        message = f"covers {width:.0f} x {depth:.0f} x {height:.0f} mm, which no chest scan does"
        yield problem(file, "content.field_of_view", message, size_mm=[width, depth, height])
