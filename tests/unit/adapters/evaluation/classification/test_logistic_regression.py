"""Logits and log probabilities of fitted regressions, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from simcrop.adapters.evaluation.classification.logistic_regression import probe_logits


def test_logits_of_findings_are_those_of_a_regression_for_each_penalty() -> None:
    generator = torch.Generator().manual_seed(2)
    features = 3 + 5 * torch.randn(90, 12, generator=generator)
    truth = (features[:, :2] + 4 * torch.randn(90, 2, generator=generator) > 3).numpy()
    truth = np.concatenate([truth, np.ones((90, 1), dtype=bool)], axis=1)
    found = probe_logits(features[:60], truth[:60], features[60:], inverse_penalties=[1e-3, 1.0], exclusive=False)
    assert found.shape == (2, 30, 3)
    assert found[:, :, 2].isnan().all(), "of a label with one class nothing is learned"
    for logits, value in zip(found, (1e-3, 1.0), strict=True):
        plain = make_pipeline(StandardScaler(), LogisticRegression(C=value, max_iter=1000, tol=1e-9))
        for column in range(2):
            plain.fit(features[:60].numpy(), truth[:60, column])
            expected = plain.decision_function(features[60:].numpy())
            np.testing.assert_allclose(logits[:, column].numpy(), expected, atol=2e-3)


def test_classes_share_one_softmax_and_one_that_no_study_has_gets_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    target = torch.randint(0, 3, (90,), generator=generator)
    features = torch.randn(90, 5, generator=generator) + target[:, None]
    truth = np.zeros((90, 4), dtype=bool)
    truth[np.arange(90), target.numpy() + (target.numpy() == 2)] = True
    [found] = probe_logits(features[:60], truth[:60], features[60:], inverse_penalties=[0.5], exclusive=True)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=0.5, max_iter=1000, tol=1e-9))
    plain.fit(features[:60].numpy(), target[:60].numpy())
    np.testing.assert_allclose(found[:, [0, 1, 3]].exp().numpy(), plain.predict_proba(features[60:].numpy()), atol=1e-3)
    assert (found[:, 2] == -math.inf).all()


def test_two_classes_and_a_single_one_work_too() -> None:
    features = torch.arange(8.0)[:, None] % 4
    truth = np.stack([(features[:, 0] > 1).numpy(), (features[:, 0] <= 1).numpy()], axis=1)
    [found] = probe_logits(features, truth, features, inverse_penalties=[1.0], exclusive=True)
    assert found.exp().sum(1).tolist() == pytest.approx([1.0] * 8)
    assert (found.argmax(1).numpy() == truth.argmax(1)).all()
    alone = np.zeros((8, 2), dtype=bool)
    alone[:, 1] = True
    [found] = probe_logits(features, alone, features, inverse_penalties=[1.0], exclusive=True)
    assert found[0].tolist() == [-math.inf, 0.0]
