"""Fit logistic regressions on standardised features, by scikit-learn: linear probes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

Table = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LinearProbe:
    """Fitted regressions as one linear map of features as they come.

    Attributes:
        weight: NaN for a finding that was learned from one class only.
        bias: minus infinity for an exclusive class that no study has.
        exclusive: one softmax over the classes instead of one regression a label.
    """

    weight: Float64[Tensor, "C F"]
    bias: Float64[Tensor, "C"]
    exclusive: bool

    def logits(self, features: Tensor) -> Float64[Tensor, "n C"]:
        """Logits of findings, or log probabilities of exclusive classes, of features [n, F], on the CPU."""
        said = features.detach().cpu().double() @ self.weight.T + self.bias
        return said.log_softmax(1) if self.exclusive else said


def probe_logits(
    known: Tensor, truth: NDArray[np.bool_], unknown: Tensor, *, inverse_penalties: Sequence[float], exclusive: bool
) -> Float64[Tensor, "penalties m C"]:
    """Predict studies by logistic regressions that were fitted on others.

    Args:
        known: [n, F] features of the studies to learn from.
        truth: [n, C] their labels.
        unknown: [m, F] features of the others.
        inverse_penalties: values of C, ascending.
        exclusive: one softmax over the classes instead of one regression a label.

    Returns:
        What each probe says; see `LinearProbe`.
    """
    probes = fit_probes(known, truth, inverse_penalties=inverse_penalties, exclusive=exclusive)
    return torch.stack([probe.logits(unknown) for probe in probes])


def fit_probes(
    known: Tensor, truth: NDArray[np.bool_], *, inverse_penalties: Sequence[float], exclusive: bool
) -> list[LinearProbe]:
    """A probe for each penalty; arguments as for `probe_logits`."""
    scaler = StandardScaler()
    features = np.asarray(scaler.fit_transform(known.detach().cpu().double().numpy()))
    # The penalised optimum lies in the span of the labelled studies: with more features than studies, turning into it
    # changes no prediction and makes the fit many times cheaper.
    span = np.linalg.qr(features.T).Q
    learned, spread = features @ span, np.asarray(scaler.scale_)
    num_labels, num_features = truth.shape[1], features.shape[1]
    weights = np.full((len(inverse_penalties), num_labels, num_features), 0.0 if exclusive else np.nan)
    biases = np.full((len(inverse_penalties), num_labels), -np.inf if exclusive else np.nan)

    def keep(rows: Sequence[int], fitted: Sequence[tuple[Table, Table]]) -> None:
        for number, (coefficients, intercepts) in enumerate(fitted):
            weight = coefficients @ span.T / spread
            weights[number, rows], biases[number, rows] = weight, intercepts - weight @ np.asarray(scaler.mean_)

    if exclusive:
        present = np.flatnonzero(truth.any(axis=0)).tolist()
        if len(present) == 1:
            biases[:, present] = 0.0
        else:
            keep(present, _fits(learned, truth[:, present].argmax(axis=1), inverse_penalties))
    else:
        for column in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)).tolist():
            keep([column], _fits(learned, truth[:, column], inverse_penalties))
    pairs = zip(torch.from_numpy(weights), torch.from_numpy(biases), strict=True)
    return [LinearProbe(weight, bias, exclusive) for weight, bias in pairs]


def _fits(learned: Table, target: NDArray[np.generic], inverse_penalties: Sequence[float]) -> list[tuple[Table, Table]]:
    """(coefficients, intercepts) for each penalty: one row for a finding (boolean target), one a class for classes."""
    # Each fit begins where the one with the next stronger penalty ended.
    model = LogisticRegression(solver="newton-cholesky", warm_start=True)
    found: list[tuple[Table, Table]] = []
    for value in inverse_penalties:
        model.set_params(C=value).fit(learned, target)
        coefficients, intercepts = np.array(model.coef_), np.array(model.intercept_)
        if target.dtype != bool and len(coefficients) == 1:  # of two classes scikit-learn keeps the second alone
            coefficients, intercepts = (np.concatenate([0 * each, each]) for each in (coefficients, intercepts))
        found.append((coefficients, intercepts))
    return found
