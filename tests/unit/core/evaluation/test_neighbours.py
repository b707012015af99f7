"""Votes of the nearest neighbours, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from simcrop.core.evaluation.neighbours import neighbour_votes, standardize

TEMPERATURE = 0.1


def data(num_known: int = 40, num_asked: int = 23) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    known, asked = (torch.randn(n, 6, generator=generator) for n in (num_known, num_asked))
    return known, asked, torch.rand(num_known, 3, generator=generator) < 0.4


@pytest.mark.parametrize("num_asked", [23, 600])
def test_votes_equal_scikit_learn(num_asked: int) -> None:
    known, asked, truth = data(num_asked=num_asked)  # 600 are more than are compared at a time
    counts = [1, 4, 17, 40]
    found = neighbour_votes(asked, known, truth, counts, temperature=TEMPERATURE)
    assert found.shape == (4, num_asked, 3)
    for count, votes in zip(counts, found, strict=True):
        model = KNeighborsClassifier(
            count, metric="cosine", algorithm="brute", weights=lambda distance: np.exp((1 - distance) / TEMPERATURE)
        )
        for column in range(3):
            model.fit(known.numpy(), truth[:, column].numpy())
            expected = model.predict_proba(asked.numpy())[:, 1]
            np.testing.assert_allclose(votes[:, column].numpy(), expected, atol=1e-5)


def test_one_neighbour_says_what_it_has_and_length_does_not_matter() -> None:
    known = torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    truth = torch.tensor([[True, False], [False, True]])
    votes = neighbour_votes(torch.tensor([[9.0, 1.0], [0.1, 0.2]]), known, truth, [1], temperature=1.0)
    assert votes[0].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_standardized_features_equal_scikit_learn_and_a_constant_one_is_nothing() -> None:
    known, asked, _ = data()
    known[:, 2], asked[:, 2] = 3.0, 3.0
    scaler = StandardScaler().fit(known.double().numpy())
    for found, given in zip(standardize(known, asked), (known, asked), strict=True):
        np.testing.assert_allclose(found.numpy(), scaler.transform(given.double().numpy()), atol=1e-6)
        assert (found[:, 2] == 0).all()
