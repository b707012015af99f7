"""Fit logistic regressions on standardised features, by scikit-learn: linear probes."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

Table = NDArray[np.float64]


def probe_logits(
    known: Tensor, truth: NDArray[np.bool_], unknown: Tensor, *, inverse_penalties: Sequence[float], exclusive: bool
) -> Tensor:
    """Predict studies by logistic regressions that were fitted on others.

    Args:
        known: [n, F] features of the studies to learn from.
        truth: [n, C] their labels.
        unknown: [m, F] features of the others.
        inverse_penalties: values of C, ascending.
        exclusive: one softmax over the classes instead of one regression a label.

    Returns:
        [penalties, m, C] float64: logits of findings, NaN for one that was learned from one class only; log
        probabilities of exclusive classes, minus infinity for one that no study has.
    """
    learned, told = _standardized(known, unknown)
    scores = np.full((len(inverse_penalties), len(told), truth.shape[1]), -np.inf if exclusive else np.nan)
    if exclusive:
        present = truth.any(axis=0)
        classes = truth[:, present].argmax(axis=1)
        scores[:, :, present] = 0.0 if present.sum() == 1 else _fits(learned, classes, told, inverse_penalties)
    else:
        for column in np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0)):
            scores[:, :, column] = _fits(learned, truth[:, column], told, inverse_penalties)
    return torch.from_numpy(scores)


def _standardized(known: Tensor, unknown: Tensor) -> tuple[Table, Table]:
    """Both in units of the known features' spread, turned into the space that these span."""
    first, second = (features.detach().cpu().double().numpy() for features in (known, unknown))
    scaler = StandardScaler().fit(first)
    first, second = (np.asarray(scaler.transform(side)) for side in (first, second))
    # The penalised optimum lies in the span of the labelled studies: with more features than studies, turning into it
    # changes no prediction and makes the fit many times cheaper.
    span = np.linalg.qr(first.T).Q
    return first @ span, second @ span


def _fits(learned: Table, target: NDArray[np.generic], told: Table, inverse_penalties: Sequence[float]) -> Table:
    """[penalties, m] logits of a finding (boolean target), [penalties, m, classes] log probabilities of classes."""
    # Each fit begins where the one with the next stronger penalty ended.
    model = LogisticRegression(solver="newton-cholesky", warm_start=True)
    said: list[Table] = []
    for value in inverse_penalties:
        model.set_params(C=value).fit(learned, target)
        said.append(model.decision_function(told) if target.dtype == bool else model.predict_log_proba(told))
    return np.stack(said)
