"""The parent of every section of the configuration, and its refusals."""

import reprlib
from collections.abc import Iterator
from math import prod
from typing import Any, ClassVar

from simcrop.core.errors import ConfigError

Size = tuple[int, int, int]

MOST_WIDTH = 65_536
"""Of any layer: ten times that of the largest vision transformer that was ever published."""
MOST_BLOCKS = 256
MOST_VOXELS = 1 << 29
"""Of a volume: 1024 x 1024 x 512, four times what a scanner's fine reconstruction of a chest has."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with the message unless the condition holds."""
    if not condition:
        raise ConfigError(message)


def require_divisible(width_key: str, width: int, heads_key: str, heads: int) -> None:
    """Raise ConfigError unless the width is a multiple of the number of heads."""
    require(heads >= 1, f"{heads_key}: {heads} is below 1")
    require(width >= 1 and width % heads == 0, f"{width_key}: {width} is not divisible by {heads_key} {heads}")


def require_few_voxels(key: str, size: Size | None) -> None:
    """Raise ConfigError where a volume has more voxels than any scan."""
    require(
        size is None or prod(size) <= MOST_VOXELS,
        f"{key}: {reprlib.repr(size)} are more than {MOST_VOXELS:,} voxels",
    )


class Section:
    """A section of the configuration: pydantic reads neither unknown keys nor NaN into it.

    The checks name a key as it is given, with or without its section before a dot; None may stand for any value.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    def _at_least(self, least: int, *keys: str) -> None:
        for key, value in self._given(keys):
            require(value >= least, f"{key}: {value} is below {least}")

    def _at_most(self, most: int, *keys: str) -> None:
        for key, value in self._given(keys):
            require(value <= most, f"{key}: {reprlib.repr(value)} is above {most}")

    def _above_zero(self, *keys: str) -> None:
        for key, value in self._given(keys):
            require(value > 0, f"{key}: {value} is not above 0")

    def _within(self, interval: str, *keys: str) -> None:
        """Check against an interval such as "[0, 1)", which the message repeats."""
        low, high = (float(end) for end in interval[1:-1].split(", "))
        for key, value in self._given(keys):
            is_inside = low < value < high or (interval[0] == "[" and value == low)
            require(is_inside or (interval[-1] == "]" and value == high), f"{key}: {value} is outside {interval}")

    def _given(self, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        values = ((key, getattr(self, key.rpartition(".")[2])) for key in keys)
        return ((key, value) for key, value in values if value is not None)
