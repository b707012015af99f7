"""Volumes and batches."""

from dataclasses import fields

import pytest
import torch
from support.small_models import make_batch
from torch import Tensor

from simcrop.core.data.study import Volume


def test_spacing_is_the_length_of_the_affines_columns() -> None:
    turned = torch.tensor([[0.0, -3.0, 0.0, 7.0], [0.8, 0.0, 0.0, -9.0], [0.6, 0.0, 2.5, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert Volume(torch.zeros(2, 2, 2), turned).spacing_mm == pytest.approx((1.0, 3.0, 2.5))


def test_a_batch_moves_whole() -> None:
    batch = make_batch([2, 1])
    moved = batch.to("meta")
    for field in fields(batch):
        before, after = getattr(batch, field.name), getattr(moved, field.name)
        if isinstance(before, Tensor):
            assert after.device.type == "meta", field.name
            assert (after.shape, after.dtype) == (before.shape, before.dtype)
        else:
            assert after == before
    assert batch.volume.device.type == "cpu"


def test_the_length_of_a_batch_is_its_studies() -> None:
    assert len(make_batch([2, 0, 1])) == 3
