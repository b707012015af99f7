"""ROC curves against scikit-learn's, and their bands."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from simcrop.core.evaluation.classification import Predicted
from simcrop.core.evaluation.roc import NUM_RATES, roc_curves, true_positive_rates

RATES = np.linspace(0, 1, NUM_RATES)


def expected_rates(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """scikit-learn's curve at the rates; where it rises vertically its upper end."""
    false, true, _ = roc_curve(truth, scores, sample_weight=weights, drop_intermediate=False)
    upper = {rate: true[false == rate].max() for rate in np.unique(false)}
    return np.array([upper[rate] if rate in upper else np.interp(rate, false, true) for rate in RATES])


@settings(deadline=None, max_examples=60)
@given(st.integers(4, 40), st.integers(0, 10**6))
def test_rates_equal_scikit_learn_with_ties_and_weights(n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(0, 8, (n,), generator=generator).double()
    truth = torch.arange(n) % 2 == 0
    weights = torch.randint(1, 4, (2, n), generator=generator).double()
    found = true_positive_rates(scores, truth, weights)
    for row, rates in zip(weights, found, strict=True):
        # Rates of a few studies coincide with the grid but for rounding, where the curve may jump.
        expected = expected_rates(truth.numpy(), scores.numpy(), row.numpy())
        false = (row * ~truth)[scores.argsort(descending=True)].cumsum(0) / (row * ~truth).sum()
        clear = [np.abs(false.numpy() - rate).min() > 1e-9 or rate in (0.0, 1.0) for rate in RATES]
        np.testing.assert_allclose(rates.numpy()[clear], expected[clear], atol=1e-9)


def predicted(n: int = 300) -> Predicted:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(n, 3, generator=generator) < 0.4
    scores = (torch.tensor([0.5, 0.0, 0.2]) * truth + torch.rand(n, 3, generator=generator)).double() / 2
    truth[:, 2] = False
    return Predicted(scores, truth, [str(i) for i in range(n)], False, torch.ones(3).bool())


def test_the_mean_curve_is_that_of_the_labels_that_have_one() -> None:
    curves, mean = roc_curves(predicted(), num_draws=60, confidence=0.9, seed=0)
    assert curves[2] is None
    assert curves[0] is not None
    assert curves[1] is not None
    assert mean is not None
    torch.testing.assert_close(mean.rates, (curves[0].rates + curves[1].rates) / 2)
    for curve in (curves[0], curves[1], mean):
        low, high = curve.band
        assert (low <= high).all()
        assert ((low <= curve.rates) & (curve.rates <= high)).float().mean() > 0.95
    widths = [(curve.band[1] - curve.band[0]).mean() for curve in (curves[0], curves[1], mean)]
    assert widths[2] < max(widths[:2])


def test_the_area_below_a_curve_is_the_area_that_is_reported() -> None:
    from simcrop.core.evaluation.metrics import auroc

    table = predicted()
    curves, _ = roc_curves(table, num_draws=0, confidence=0.9, seed=0)
    assert curves[0] is not None
    area = torch.trapezoid(curves[0].rates, torch.linspace(0, 1, NUM_RATES, dtype=torch.float64)).item()
    assert area == pytest.approx(auroc(table.scores[:, 0], table.truth[:, 0]), abs=0.01)
    assert curves[0].band.isnan().all(), "no bootstrap, no band"


def test_without_any_curve_there_is_no_mean() -> None:
    table = predicted(20)
    nothing = Predicted(table.scores, table.truth, table.patients, False, torch.zeros(3).bool())
    assert roc_curves(nothing, num_draws=5, confidence=0.9, seed=0) == ([None, None, None], None)
