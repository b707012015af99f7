"""The reference of `soft_volume_scores`: by hand, at its limits, and its gradients."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from simcrop.core.errors import InputError
from simcrop.core.reference import sentence_volume_scores, soft_volume_scores


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_score_worked_out_by_hand() -> None:
    sentences = torch.tensor([[[2.0, 0.0]]])
    patches = torch.tensor([[[3.0, 0.0], [0.0, 1.0], [-0.5, 0.0]]])  # cosines 1, 0, -1
    score = soft_volume_scores(sentences, patches, temperature=0.5)
    expected = 0.5 * math.log((math.e**2 + 1 + math.e**-2) / 3)
    assert score.shape == (1, 1, 1)
    assert score.item() == pytest.approx(expected, rel=1e-6)


def test_a_patch_that_was_left_out_has_the_lowest_cosine() -> None:
    sentences, patches = draw(2, 3, 5), draw(4, 6, 5, seed=1)
    zeroed, opposite = patches.clone(), patches.clone()
    zeroed[:, 2] = 0.0
    for study in range(2):
        opposite[:, 2] = -sentences[study, 0]
        of_zero = soft_volume_scores(sentences[study : study + 1, :1], zeroed, temperature=0.1)
        torch.testing.assert_close(
            of_zero, soft_volume_scores(sentences[study : study + 1, :1], opposite, temperature=0.1)
        )


def test_a_volume_of_air_scores_minus_one() -> None:
    scores = soft_volume_scores(draw(1, 2, 5), torch.zeros(1, 7, 5, dtype=torch.float64), temperature=0.05)
    torch.testing.assert_close(scores, torch.full_like(scores, -1.0))


def test_it_lies_between_the_mean_and_the_best() -> None:
    sentences, patches = draw(2, 3, 5), draw(4, 6, 5, seed=1)
    best = sentence_volume_scores(sentences, patches, k=1)
    mean = sentence_volume_scores(sentences, patches, k=6)
    torch.testing.assert_close(soft_volume_scores(sentences, patches, temperature=1e-4), best, atol=1e-3, rtol=0)
    torch.testing.assert_close(soft_volume_scores(sentences, patches, temperature=1e4), mean, atol=1e-3, rtol=0)


def test_hidden_sentences_score_zero_without_gradient() -> None:
    sentences, patches = draw(2, 3, 5).requires_grad_(), draw(4, 6, 5, seed=1).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, True, True]])
    poisoned = torch.where(mask[..., None], sentences, math.nan)
    scores = soft_volume_scores(poisoned, patches, temperature=0.1, sentence_mask=mask)
    assert (scores.transpose(1, 2)[~mask] == 0).all()
    grad_s, grad_p = torch.autograd.grad(scores.sum(), (sentences, patches))
    assert (grad_s[~mask] == 0).all()
    assert grad_s[mask].any()
    assert grad_p.isfinite().all()


def test_gradients_are_those_of_the_formula() -> None:
    sentences, patches = draw(2, 2, 3).requires_grad_(), draw(2, 4, 3, seed=1)
    patches[0, 1] = 0.0
    mask = torch.tensor([[True, True], [True, False]])

    def scores(s: Tensor, p: Tensor) -> Tensor:
        return soft_volume_scores(s, torch.where(p.detach() == 0, 0.0, p), temperature=0.2, sentence_mask=mask)

    assert gradcheck(lambda s: scores(s, patches), (sentences,))
    whole = draw(2, 4, 3, seed=2).requires_grad_()
    assert gradcheck(lambda p: scores(sentences.detach(), p), (whole,))


@given(st.integers(0, 3), st.integers(1, 4), st.integers(0, 3), st.integers(1, 9), st.floats(0.02, 2.0))
def test_every_pair_is_scored_by_itself(Bs: int, S: int, Bv: int, N: int, temperature: float) -> None:
    sentences, patches = draw(Bs, S, 4, seed=Bs), draw(Bv, N, 4, seed=N)
    scores = soft_volume_scores(sentences, patches, temperature=temperature)
    assert scores.shape == (Bs, Bv, S)
    assert (scores.abs() <= 1 + 1e-12).all()
    for b, v, s in torch.cartesian_prod(torch.arange(Bs), torch.arange(Bv), torch.arange(S)).tolist():
        alone = soft_volume_scores(sentences[b : b + 1, s : s + 1], patches[v : v + 1], temperature=temperature)
        torch.testing.assert_close(scores[b, v, s], alone[0, 0, 0])


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match=r"temperature: .* is not above 0"):
        soft_volume_scores(draw(1, 1, 3), draw(1, 2, 3), temperature=temperature)


def test_a_volume_without_patches_is_refused() -> None:
    with pytest.raises(InputError, match="a volume without a patch has no score"):
        soft_volume_scores(draw(1, 1, 3), draw(1, 0, 3), temperature=0.1)
