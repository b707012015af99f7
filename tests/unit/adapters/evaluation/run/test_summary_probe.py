"""The probe of a run's summary: its split of the studies, and its areas under the curve."""

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

from simcrop.adapters.evaluation.run.summary_probe import (
    INVERSE_PENALTY,
    ProbeSplit,
    label_values,
    probe_areas,
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
    table = label_values([make_study(0, 0, Emphysema=1), make_study(1, 1, Emphysema=0)], ("Atelectasis", "Emphysema"))
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
    [alone] = probe_areas(features[known], truth[known, :1], ProbeSplit(labelled, test))
    whole = probe_areas(features, truth, split)
    assert probe_areas(features, gaps, split) == [alone, whole[1]]
    assert alone != whole[0]
    assert math.isnan(probe_areas(features, np.full((200, 1), math.nan), split)[0])
    assert probe_areas(features, np.zeros((200, 0)), split) == []


def test_probe_finds_a_linear_signal_and_none_in_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 8, generator=generator)
    # The scale of a feature must not matter: the probe standardises.
    features[:, 0] *= 1e-3
    truth = np.stack([(features[:, 0] > 0).numpy(), torch.randn(400, generator=generator).numpy() > 0], axis=1) * 1.0
    studies = [make_study(number, number) for number in range(400)]
    signal, noise = probe_areas(features, truth, split_studies(studies, num_labelled=64))
    assert signal > 0.9
    assert noise == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("positive", ["labelled", "test", "neither"])
def test_a_label_with_one_class_on_a_side_is_not_measured(positive: str) -> None:
    studies = [make_study(number, number) for number in range(20)]
    split = split_studies(studies, num_labelled=8)
    truth = np.zeros((20, 1))
    if positive != "neither":
        truth[list(getattr(split, positive))[:3]] = 1
    assert math.isnan(probe_areas(torch.randn(20, 4), truth, split)[0])


def test_probe_is_fitted_on_the_labelled_studies_only() -> None:
    studies = [make_study(number, number) for number in range(40)]
    split = split_studies(studies, num_labelled=20)
    features = torch.arange(40.0)[:, None] % 7
    truth = (features.numpy() > 3) * 1.0
    truth[list(split.test)] = 1 - truth[list(split.test)]
    assert probe_areas(features, truth, split) == [0.0]


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
    assert probe_areas(features, truth, split)[0] == pytest.approx(roc_auc_score(truth[test, 0], scores), abs=2e-3)
