"""The linear probe: logistic regression on standardised features, by scikit-learn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from simcrop.core.data.study import Study
from simcrop.core.evaluation.metrics import auroc
from simcrop.core.randomness import derive_seed

INVERSE_PENALTY = 1.0
"""C of the summary's probe: scikit-learn's default, not tuned on any data."""
Table = NDArray[np.float64]


@dataclass(frozen=True)
class ProbeSplit:
    """Indices of the studies whose labels are learned from, and of those that are predicted."""

    labelled: tuple[int, ...]
    test: tuple[int, ...]


def split_studies(studies: Sequence[Study], *, num_labelled: int) -> ProbeSplit:
    """Divide held-out studies by patient, always in the same way.

    Patients are taken in the order of a hash of their id until `num_labelled` studies are found, at most half of all;
    the studies of the others are the test set. Studies of the last labelled patient beyond the number are left out.
    """
    wanted = min(num_labelled, len(studies) // 2)
    by_patient: dict[str, list[int]] = {}
    for index, study in enumerate(studies):
        by_patient.setdefault(study.patient_id, []).append(index)
    labelled: list[int] = []
    test: list[int] = []
    for patient in sorted(by_patient, key=lambda patient: (derive_seed("probe", patient), patient)):
        if len(labelled) < wanted:
            labelled += by_patient[patient][: wanted - len(labelled)]
        else:
            test += by_patient[patient]
    return ProbeSplit(tuple(sorted(labelled)), tuple(sorted(test)))


def label_table(studies: Sequence[Study], names: Sequence[str]) -> Table:
    """[studies, labels], 1 where a study has the finding, 0 where it has not, NaN where its data do not say."""
    rows = [[study.labels.get(name, math.nan) for name in names] for study in studies]
    return np.array(rows, dtype=np.float64).reshape(len(studies), len(names))


def probe(features: Tensor, labels: Table, split: ProbeSplit) -> list[float]:
    """AUROC of each label on the test studies, NaN where either side of the split lacks one of the classes.

    Args:
        features: [studies, F].
        labels: [studies, labels] of 0, 1 and NaN; where it is NaN, the study has no part in that label.
        split: which studies are learned from.
    """
    areas = [math.nan] * labels.shape[1]
    known = ~np.isnan(labels)
    for pattern in {column.tobytes(): column for column in known.T}.values():
        alike = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        train, test = ([index for index in part if pattern[index]] for part in (split.labelled, split.test))
        for index, area in zip(alike, _areas(features, labels[:, alike] == 1, train, test), strict=True):
            areas[index] = area
    return areas


def _areas(features: Tensor, labels: NDArray[np.bool_], train: list[int], test: list[int]) -> list[float]:
    if not train or not test:
        return [math.nan] * labels.shape[1]
    scores = probe_logits(
        features[train], labels[train], features[test], inverse_penalties=[INVERSE_PENALTY], exclusive=False
    )[0]
    truth = torch.from_numpy(labels[test])
    return [
        math.nan if bool(column.isnan().any()) else auroc(column, positives)
        for column, positives in zip(scores.T, truth.T, strict=True)
    ]


def probe_logits(
    known: Tensor, truth: NDArray[np.bool_], unknown: Tensor, *, inverse_penalties: Sequence[float], exclusive: bool
) -> Tensor:
    """What logistic regressions that were fitted on some studies say of others.

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
