"""The linear probe: how studies are divided, and what it finds."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from simcrop.adapters.evaluation.classification.probe import (
    INVERSE_PENALTY,
    ProbeSplit,
    label_table,
    probe,
    probe_logits,
    split_studies,
)
from simcrop.core.data.study import Report, Study


def make_study(number: int, patient: int, **labels: int) -> Study:
    return Study(f"s{number}", f"p{patient}", Report("", ""), (f"v{number}",), labels=labels)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=80), st.integers(1, 40))
def test_no_patient_is_on_both_sides(patients: list[int], num_labelled: int) -> None:
    studies = [make_study(number, patient) for number, patient in enumerate(patients)]
    split = split_studies(studies, num_labelled=num_labelled)
    assert len(split.labelled) == min(num_labelled, len(studies) // 2)
    assert not {patients[i] for i in split.labelled} & {patients[i] for i in split.test}
    assert not set(split.labelled) & set(split.test)


def test_split_depends_on_the_patients_and_not_on_their_order() -> None:
    studies = [make_study(number, number) for number in range(40)]
    split = split_studies(studies, num_labelled=10)
    backwards = split_studies(studies[::-1], num_labelled=10)
    assert {studies[i].study_id for i in split.labelled} == {studies[::-1][i].study_id for i in backwards.labelled}
    assert len(split.test) == 30
    assert split.labelled != tuple(range(10))


def test_label_table_tells_an_absent_finding_from_one_of_which_nothing_is_known() -> None:
    table = label_table([make_study(0, 0, Emphysema=1), make_study(1, 1, Emphysema=0)], ("Atelectasis", "Emphysema"))
    np.testing.assert_array_equal(table, [[math.nan, 1.0], [math.nan, 0.0]])


def test_studies_without_a_label_have_no_part_in_it() -> None:
    generator = torch.Generator().manual_seed(4)
    features = torch.randn(200, 8, generator=generator)
    truth = (features[:, :2] + torch.randn(200, 2, generator=generator) > 0).double().numpy()
    split = split_studies([make_study(number, number) for number in range(200)], num_labelled=80)
    gaps = truth.copy()
    gaps[::3, 0] = math.nan
    known = np.flatnonzero(np.arange(200) % 3)
    places = {int(index): place for place, index in enumerate(known)}
    labelled, test = (tuple(places[i] for i in part if i in places) for part in (split.labelled, split.test))
    [alone] = probe(features[known], truth[known, :1], ProbeSplit(labelled, test))
    whole = probe(features, truth, split)
    assert probe(features, gaps, split) == [alone, whole[1]]
    assert alone != whole[0]
    assert math.isnan(probe(features, np.full((200, 1), math.nan), split)[0])
    assert probe(features, np.zeros((200, 0)), split) == []


def test_probe_finds_a_linear_signal_and_none_in_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 8, generator=generator)
    # The scale of a feature must not matter: the probe standardises.
    features[:, 0] *= 1e-3
    truth = np.stack([(features[:, 0] > 0).numpy(), torch.randn(400, generator=generator).numpy() > 0], axis=1) * 1.0
    studies = [make_study(number, number) for number in range(400)]
    signal, noise = probe(features, truth, split_studies(studies, num_labelled=64))
    assert signal > 0.9
    assert noise == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("positive", ["labelled", "test", "neither"])
def test_a_label_with_one_class_on_a_side_is_not_measured(positive: str) -> None:
    studies = [make_study(number, number) for number in range(20)]
    split = split_studies(studies, num_labelled=8)
    truth = np.zeros((20, 1))
    if positive != "neither":
        truth[list(getattr(split, positive))[:3]] = 1
    assert math.isnan(probe(torch.randn(20, 4), truth, split)[0])


def test_probe_is_fitted_on_the_labelled_studies_only() -> None:
    studies = [make_study(number, number) for number in range(40)]
    split = split_studies(studies, num_labelled=20)
    features = torch.arange(40.0)[:, None] % 7
    truth = (features.numpy() > 3) * 1.0
    truth[list(split.test)] = 1 - truth[list(split.test)]
    assert probe(features, truth, split) == [0.0]


def test_probe_equals_the_plain_logistic_regression_with_more_features_than_studies() -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(120, 200, generator=generator)
    truth = ((features[:, :3].sum(1) + torch.randn(120, generator=generator)) > 0).double().numpy()[:, None]
    studies = [make_study(number, number) for number in range(120)]
    split = split_studies(studies, num_labelled=30)
    train, test = list(split.labelled), list(split.test)
    plain = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, tol=1e-8))
    plain.fit(features[train].double().numpy(), truth[train, 0])
    scores = plain.decision_function(features[test].double().numpy())
    assert probe(features, truth, split)[0] == pytest.approx(roc_auc_score(truth[test, 0], scores), abs=2e-3)


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
