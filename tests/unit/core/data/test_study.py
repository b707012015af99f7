"""Volumes."""

import pytest
import torch

from simcrop.core.data.study import Volume


def test_spacing_is_the_length_of_the_affines_columns() -> None:
    turned = torch.tensor([[0.0, -3.0, 0.0, 7.0], [0.8, 0.0, 0.0, -9.0], [0.6, 0.0, 2.5, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert Volume(torch.zeros(2, 2, 2), turned).spacing_mm == pytest.approx((1.0, 3.0, 2.5))
