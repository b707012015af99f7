"""Do intervals hold the truth as often as they say?"""

import math

import numpy as np
import pytest
import torch

from simcrop.core.evaluation.bootstrap import Estimate, estimated, interval, patient_weights
from simcrop.core.evaluation.classification import Predicted, measure
from simcrop.core.evaluation.metrics import weighted_auroc

SHIFT = 1.0
TRUE_AUROC = 0.5 * (1 + math.erf(SHIFT / 2))
"""Of two normal distributions of spread 1 whose means differ by SHIFT."""


def simulate(generator: torch.Generator, num_patients: int, studies_of_each: int) -> Predicted:
    """Studies of patients whose scores lie together, as those of one person do."""
    truth = torch.rand(num_patients, generator=generator) < 0.4
    scores = SHIFT * truth + torch.randn(num_patients, generator=generator)
    scores = scores.repeat_interleave(studies_of_each)
    truth = truth.repeat_interleave(studies_of_each)
    patients = [f"p{number // studies_of_each}" for number in range(len(scores))]
    table = (scores.double() / 20 + 0.5).clamp(0, 1)[:, None]
    return Predicted(table, truth[:, None], patients, exclusive=False, learned=torch.ones(1).bool())


def coverage(num_sets: int, num_draws: int, *, by_patient: bool = True) -> float:
    generator = torch.Generator().manual_seed(7)
    hits = 0
    for seed in range(num_sets):
        predicted = simulate(generator, 60, 3)
        if not by_patient:
            predicted = Predicted(
                predicted.scores, predicted.truth, [str(n) for n in range(180)], False, predicted.learned
            )
        found = measure(predicted, num_draws=num_draws, confidence=0.9, seed=seed).overall["auroc"]
        hits += found.low <= TRUE_AUROC <= found.high
    return hits / num_sets


def test_intervals_cover_at_the_stated_rate() -> None:
    # 300 sets tell the rate to within 0.017; percentile intervals of 60 patients fall short of 0.9 by a point or two.
    assert 0.85 <= coverage(300, 200) <= 0.94


def test_intervals_over_studies_instead_of_patients_would_not() -> None:
    assert coverage(100, 100, by_patient=False) < 0.75


@pytest.mark.slow
def test_intervals_cover_at_the_stated_rate_closely() -> None:
    assert 0.875 <= coverage(3000, 1000) <= 0.915


def test_every_study_of_a_patient_is_drawn_as_often() -> None:
    patients = ["a", "b", "a", "c", "b", "a"]
    weights = torch.cat(list(patient_weights(patients, 50, seed=0)))
    assert weights.shape == (50, 6)
    assert torch.equal(weights[:, [0, 2]], weights[:, [5, 0]])
    assert torch.equal(weights[:, 1], weights[:, 4])
    assert (weights[:, [0, 1, 3]].sum(1) == 3).all(), "as many patients as there are"
    assert not torch.equal(weights, torch.cat(list(patient_weights(patients, 50, seed=1))))


def test_draws_come_in_parts_that_fit_into_memory() -> None:
    patients = [str(number) for number in range(40)]
    parts = list(patient_weights(patients, 25, seed=0, values_at_once=400))
    assert [len(part) for part in parts] == [10, 10, 5]
    assert list(patient_weights(patients, 0, seed=0)) == []


def test_interval_is_the_percentiles_of_the_draws_that_have_a_value() -> None:
    values = torch.randn(101, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values[::4, 1] = torch.nan
    low, high = interval(values, 0.8)
    for column in range(2):
        present = values[:, column][~values[:, column].isnan()].numpy()
        assert [low[column], high[column]] == pytest.approx(np.percentile(present, [10, 90]))
    assert interval(torch.full((3,), torch.nan), 0.8).isnan().all()


def test_a_weighted_area_is_that_of_repeated_studies() -> None:
    generator = torch.Generator().manual_seed(3)
    scores = torch.randint(0, 6, (30,), generator=generator).double()
    truth = torch.rand(30, generator=generator) < 0.5
    weights = torch.randint(0, 4, (5, 30), generator=generator).double()
    alone = torch.ones(1, 1, dtype=torch.float64)
    for row, found in zip(weights, weighted_auroc(scores, truth, weights), strict=True):
        repeated = torch.arange(30).repeat_interleave(row.long())
        expected = weighted_auroc(scores[repeated], truth[repeated], alone.expand(1, len(repeated)))
        assert found == pytest.approx(expected.item(), abs=1e-12)


def test_a_statistic_is_estimated_from_all_studies_and_from_the_draws_of_their_patients() -> None:
    values, patients = torch.tensor([1.0, 2.0, 6.0]).double(), ["a", "a", "b"]

    def statistics(weights: torch.Tensor) -> torch.Tensor:
        mean = weights @ values / weights.sum(1)
        return torch.stack([mean, torch.full_like(mean, torch.nan)], dim=1)

    mean, unknown = estimated(statistics, patients, num_draws=200, confidence=0.9, seed=0)
    assert mean == Estimate(3.0, 1.5, 6.0), "patients are drawn, not studies: 1.0 alone never is"
    assert all(math.isnan(each) for each in (unknown.value, unknown.low, unknown.high))
    without, _ = estimated(statistics, patients, num_draws=0, confidence=0.9, seed=0)
    assert (without.value, math.isnan(without.low), math.isnan(without.high)) == (3.0, True, True)
