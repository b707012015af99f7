"""Ranks, recall and chance by hand and against brute force."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer

from simcrop.core.errors import InputError
from simcrop.core.evaluation.retrieval import (
    Chance,
    first_match_ranks,
    first_of_each,
    rarity,
    report_scores,
    same_reports,
    weighted_median,
)


def test_reports_of_the_same_reports_are_the_same_in_any_order() -> None:
    same = same_reports([[1, 2, 2], [2, 1], [2, 2, 1], []])
    assert same.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]


def test_of_the_same_texts_the_first_stays() -> None:
    assert first_of_each(["b", "a", "b", "c", "a", "B"]) == [0, 1, 3, 5]
    assert first_of_each([]) == []


@given(st.lists(st.sampled_from("abcd"), max_size=12))
def test_every_text_stays_once_and_in_order(texts: list[str]) -> None:
    assert [texts[index] for index in first_of_each(texts)] == list(dict.fromkeys(texts))


OWN = torch.eye(4, dtype=torch.bool)


def test_ranks_by_hand() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.3], [0.9, 0.1, 0.2, 0.3], [0.5, 0.4, 0.6, 0.7], [0.1, 0.2, 0.3, 0.0]])
    assert first_match_ranks(scores, OWN).tolist() == [1, 4, 2, 4]


def test_ties_count_against_the_model() -> None:
    scores = torch.tensor([[0.5, 0.5, 0.1, 0.5], [0.2, 0.2, 0.2, 0.2], [0.0, 0.0, 1.0, 0.0], [0.3, 0.3, 0.1, 0.3]])
    assert first_match_ranks(scores, OWN).tolist() == [3, 4, 1, 3]
    assert first_match_ranks(torch.zeros(4, 4), OWN).tolist() == [4, 4, 4, 4]


def test_the_best_of_several_right_candidates_counts_and_its_twins_do_not_come_before_it() -> None:
    matches = OWN.clone()
    matches[0, 1] = matches[1, 0] = True
    scores = torch.tensor([[0.1, 0.8, 0.9, 0.0], [0.5, 0.5, 0.4, 0.6], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert first_match_ranks(scores, matches).tolist() == [2, 2, 1, 1]


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(InputError, match="needs a right candidate"):
        first_match_ranks(torch.zeros(2, 3), torch.tensor([[True, False, False], [False, False, False]]))
    with pytest.raises(InputError, match="NaN"):
        first_match_ranks(torch.full((4, 4), math.nan), OWN)


@pytest.mark.parametrize("counts", [(1, 1, 1, 1, 1), (2, 1, 3, 2, 1)])
def test_chance_is_the_mean_over_all_orders(counts: tuple[int, ...]) -> None:
    matches = torch.tensor([[column < count for column in range(5)] for count in counts])
    orders = list(itertools.permutations(range(5)))
    ranks = [[1 + min(order.index(c) for c in range(count)) for order in orders] for count in counts]
    for k in (1, 2, 3, 5):
        assert Chance.of(matches).within(k) == pytest.approx(np.mean(np.array(ranks) <= k))
    assert Chance.of(matches).within(9) == 1.0
    assert Chance.of(matches).median_rank == np.quantile(np.array(ranks).flatten(), 0.5, method="inverted_cdf")


def test_a_model_that_knows_nothing_is_at_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    matches = torch.eye(50, dtype=torch.bool)
    found = [first_match_ranks(torch.rand(50, 50, generator=generator), matches) <= 5 for _ in range(60)]
    assert float(torch.cat(found).float().mean()) == pytest.approx(Chance.of(matches).within(5), abs=0.02)


def test_a_report_scores_the_weighted_mean_of_its_sentences() -> None:
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.25]])
    of, weights = torch.tensor([0, 0, 1]), torch.tensor([3.0, 1.0, 7.0])
    torch.testing.assert_close(report_scores(scores, of, weights), torch.tensor([[0.75, 0.25], [0.5, 0.25]]))


def test_rarity_is_the_smooth_inverse_document_frequency_of_scikit_learn() -> None:
    reports = [[1, 2, 2], [1, 3], [1], [1, 2]]
    table = np.array([[keys.count(key) for key in (1, 2, 3)] for keys in reports])
    expected = TfidfTransformer(smooth_idf=True).fit(table).idf_
    weight = rarity(reports)
    assert [weight(key) for key in (1, 2, 3)] == pytest.approx(expected)
    assert weight(4) == pytest.approx(1 + math.log(5))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=12))
def test_the_weighted_median_is_that_of_the_values_repeated(pairs: list[tuple[int, int]]) -> None:
    repeated = [value for value, times in pairs for _ in range(times)]
    if repeated:
        values, weights = (torch.tensor(column) for column in zip(*pairs, strict=True))
        found = weighted_median(values, weights.double()[None])
        assert float(found) == np.quantile(repeated, 0.5, method="inverted_cdf")
