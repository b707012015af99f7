"""The meter of collapse on features whose singular values are known."""

import math

import pytest
import torch

from simcrop.core.evaluation.effective_rank import effective_rank, gram


def test_features_of_one_direction_have_rank_1_and_of_n_equal_ones_rank_n() -> None:
    assert effective_rank(gram(torch.tensor([[1.0, 2.0], [2.0, 4.0], [-3.0, -6.0]]))) == 1.0
    assert effective_rank(gram(3 * torch.eye(5))) == 5.0


def test_the_rank_is_exp_of_the_entropy_of_singular_values() -> None:
    expected = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
    assert effective_rank(gram(torch.diag(torch.tensor([3.0, 1.0])))) == pytest.approx(expected, abs=5e-4)


def test_parts_add_up() -> None:
    features = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    assert effective_rank(gram(features[:3]) + gram(features[3:])) == effective_rank(gram(features))


@pytest.mark.parametrize("value", [0.0, math.nan, math.inf])
def test_what_has_no_rank_is_nan(value: float) -> None:
    assert math.isnan(effective_rank(gram(torch.full((2, 3), value))))
