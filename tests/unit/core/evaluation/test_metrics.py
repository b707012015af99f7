"""Areas under the curve against scikit-learn and by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from simcrop.core.errors import InputError
from simcrop.core.evaluation.metrics import auroc, column_aurocs, mean_present


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_auroc_equals_scikit_learn_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores = torch.tensor([row[0] for row in rows]).float()
    positives = torch.tensor([row[1] for row in rows])
    if positives.all() or not positives.any():
        assert math.isnan(auroc(scores, positives))
    else:
        assert auroc(scores, positives) == pytest.approx(roc_auc_score(positives.numpy(), scores.numpy()), abs=1e-12)


def test_auroc_equals_scikit_learn_on_many_distinct_scores() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(5000, generator=generator)
    positives = scores + torch.randn(5000, generator=generator) > 1
    assert auroc(scores, positives) == pytest.approx(roc_auc_score(positives.numpy(), scores.numpy()), abs=1e-12)


def test_auroc_counts_a_tie_as_one_half() -> None:
    assert auroc(torch.tensor([1.0, 1.0]), torch.tensor([True, False])) == 0.5
    assert auroc(torch.tensor([2.0, 1.0, 1.0]), torch.tensor([True, True, False])) == 0.75


def test_auroc_refuses_what_it_cannot_rank() -> None:
    with pytest.raises(InputError, match="NaN"):
        auroc(torch.tensor([float("nan"), 1.0]), torch.tensor([True, False]))
    with pytest.raises(InputError, match=r"expected shape \(2,\)"):
        auroc(torch.zeros(2), torch.tensor([True]))


def test_macro_average_leaves_out_columns_with_one_class() -> None:
    scores = torch.tensor([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0]])
    positives = torch.tensor([[False, True], [True, True], [False, True]])
    columns = column_aurocs(scores, positives)
    assert columns[0] == 0.5
    assert math.isnan(columns[1])
    assert mean_present(columns) == 0.5
    assert math.isnan(mean_present([math.nan]))
