"""Groups of tensors that move as one."""

from dataclasses import dataclass, fields

import torch
from support.small_models import make_batch
from torch import Tensor

from simcrop.core.data.tensors import TensorGroup


def check_moved(before: object, after: object, name: str = "") -> int:
    """Number of tensors that were compared."""
    if isinstance(before, Tensor):
        assert isinstance(after, Tensor)
        assert after.device.type == "meta", name
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        return 1
    if isinstance(before, TensorGroup):
        assert type(after) is type(before)
        return sum(check_moved(getattr(before, f.name), getattr(after, f.name), f.name) for f in fields(before))  # type: ignore[arg-type]
    assert after == before
    return 0


def test_a_batch_moves_whole() -> None:
    batch = make_batch([2, 1])
    assert check_moved(batch, batch.to("meta")) == 13
    assert batch.volume.device.type == "cpu"


def test_what_is_no_tensor_stays() -> None:
    @dataclass(frozen=True, eq=False)
    class Named(TensorGroup):
        values: Tensor
        names: tuple[str, ...]
        missing: Tensor | None = None

    moved = Named(torch.zeros(2), ("a", "b")).to("meta")
    assert (moved.values.device.type, moved.names, moved.missing) == ("meta", ("a", "b"), None)
