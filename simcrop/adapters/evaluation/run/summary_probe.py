"""Probe features for the summary of a run: one split of the held-out patients, one untuned regression a label."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.evaluation.classification.logistic_regression import Table, probe_logits
from simcrop.core.data.study import Study
from simcrop.core.evaluation.metrics import auroc
from simcrop.core.randomness import derive_seed

INVERSE_PENALTY = 1.0
"""C of the regression: scikit-learn's default, not tuned on any data."""


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


def label_values(studies: Sequence[Study], names: Sequence[str]) -> Table:
    """[studies, labels], 1 where a study has the finding, 0 where it has not, NaN where its data do not say."""
    rows = [[study.labels.get(name, math.nan) for name in names] for study in studies]
    return np.array(rows, dtype=np.float64).reshape(len(studies), len(names))


def probe_areas(features: Tensor, labels: Table, split: ProbeSplit) -> list[float]:
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
