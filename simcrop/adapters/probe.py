"""A linear probe: one fixed logistic regression a label, by scikit-learn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from simcrop.core.evaluation.metrics import auroc
from simcrop.core.randomness import derive_seed
from simcrop.core.study import Study

INVERSE_PENALTY = 1.0
"""C of the logistic regression: scikit-learn's default, not tuned on any data."""


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


def label_table(studies: Sequence[Study], names: Sequence[str]) -> NDArray[np.bool_]:
    """[studies, labels], True where a study has the finding; a label that a study lacks counts as absent."""
    rows = [[study.labels.get(name, 0) == 1 for name in names] for study in studies]
    return np.array(rows, dtype=bool).reshape(len(studies), len(names))


def probe(features: Tensor, labels: NDArray[np.bool_], split: ProbeSplit) -> list[float]:
    """AUROC of each label on the test studies, NaN where either side of the split lacks one of the classes.

    Args:
        features: [studies, F].
        labels: [studies, labels].
        split: which studies are learned from.
    """
    table = features.detach().cpu().double().numpy()
    train, test = list(split.labelled), list(split.test)
    if not train or not test:
        return [math.nan] * labels.shape[1]
    scaler = StandardScaler().fit(table[train])
    known, unknown = (np.asarray(scaler.transform(table[side])) for side in (train, test))
    # The penalised optimum lies in the span of the labelled studies: with more features than studies, turning into it
    # changes no prediction and makes the fit many times cheaper.
    span = np.linalg.qr(known.T).Q
    known, unknown = known @ span, unknown @ span
    return [_probe_label(known, column[train], unknown, column[test]) for column in labels.T]


def _probe_label(
    train: NDArray[np.float64], truth: NDArray[np.bool_], test: NDArray[np.float64], test_truth: NDArray[np.bool_]
) -> float:
    if not (truth.any() and not truth.all() and test_truth.any() and not test_truth.all()):
        return math.nan
    model = LogisticRegression(C=INVERSE_PENALTY, solver="newton-cholesky").fit(train, truth)
    scores = torch.from_numpy(model.decision_function(test))
    return auroc(scores, torch.from_numpy(test_truth))
