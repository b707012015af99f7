"""Frozen dataclasses of tensors that move as one."""

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, Self

import torch
from torch import Tensor


class TensorGroup:
    """Base of a frozen dataclass whose fields are tensors, groups of them, or plain values."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The same with every tensor on `device`."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same in page-locked memory (called by torch's DataLoader)."""
        return self.mapped(lambda tensor: tensor.pin_memory())

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor replaced, in the order of the fields."""
        assert is_dataclass(self)
        return replace(self, **{f.name: _mapped(getattr(self, f.name), function) for f in fields(self)})


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, TensorGroup):
        return value.mapped(function)
    return function(value) if isinstance(value, Tensor) else value
