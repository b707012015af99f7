"""The reference choice of patches for sentences, within a study and between studies."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simcrop.core.reference import sentence_patch_topk, sentence_volume_scores, stable_topk_indices

NAN = float("nan")


def features(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_case_by_hand() -> None:
    patches = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [-5.0, 0.0]]])
    sentences = torch.tensor([[[10.0, 0.0], [0.0, -1.0]]])
    aligned, scores, indices = sentence_patch_topk(sentences, patches, k=2)
    # Cosines with (1, 0): 1, 0, 0.6, -1; with (0, -1): 0, -1, -0.8, 0 (patches 0 and 3 tie).
    assert indices.tolist() == [[[0, 2], [0, 3]]]
    torch.testing.assert_close(scores, torch.tensor([[[1.0, 0.6], [0.0, 0.0]]]))
    torch.testing.assert_close(aligned, torch.tensor([[[2.0, 2.0], [-2.0, 0.0]]]))


@pytest.mark.parametrize("k", [1, 3, 7, 13])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_ties_it_equals_torch_topk(k: int, dtype: torch.dtype) -> None:
    sentences, patches = features(2, 5, 6, dtype=dtype), features(2, 13, 6, seed=1, dtype=dtype)
    cosines = F.cosine_similarity(sentences[:, :, None], patches[:, None], dim=3)
    values, expected = cosines.topk(k, dim=2)
    aligned, scores, indices = sentence_patch_topk(sentences, patches, k=k)
    assert torch.equal(indices, expected)
    torch.testing.assert_close(scores, values)
    for b in range(2):
        torch.testing.assert_close(aligned[b], patches[b][expected[b]].mean(1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, NAN]), min_size=1, max_size=12), st.data())
def test_the_choice_is_that_of_a_stable_sort(row: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(row)))
    rank = {value: number for number, value in enumerate([1.0, 0.5, 0.0, -1.0], start=1)}
    places = sorted(range(len(row)), key=lambda i: (0 if row[i] != row[i] else rank[row[i]], i))
    assert stable_topk_indices(torch.tensor([[row]]), k)[0, 0].tolist() == places[:k]


@pytest.mark.parametrize("k", [1, 2, 5, 16])
def test_ties_go_to_the_lower_index(k: int) -> None:
    signs = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, 1, 1], [1, 1, -1, -1]]).repeat(4, 1)
    _, scores, indices = sentence_patch_topk(torch.ones(1, 1, 4), signs[None], k=k)
    best, others = list(range(0, 16, 2)), list(range(1, 16, 2))
    assert indices[0, 0].tolist() == (best + others)[:k]
    assert scores[0, 0].tolist() == ([1.0] * 8 + [0.0] * 8)[:k]


def test_a_nan_patch_is_chosen_first_and_reaches_the_results() -> None:
    patches = features(1, 6, 4)
    patches[0, 4, 1] = NAN
    aligned, scores, indices = sentence_patch_topk(features(1, 2, 4, seed=1), patches, k=2)
    assert indices[..., 0].tolist() == [[4, 4]]
    assert scores[..., 0].isnan().all()
    assert aligned[..., 1].isnan().all()
    assert sentence_volume_scores(features(1, 2, 4, seed=1), patches, k=2).isnan().all()


def test_a_zero_row_scores_zero_and_gets_no_gradient() -> None:
    sentences, patches = features(1, 2, 4), features(1, 6, 4, seed=1)
    sentences[0, 0], patches[0, 5] = 0.0, 0.0
    sentences.requires_grad_()
    patches.requires_grad_()
    aligned, scores, indices = sentence_patch_topk(sentences, patches, k=6)
    assert scores[0, 0].tolist() == [0.0] * 6
    assert indices[0, 0].tolist() == list(range(6))
    assert scores[0, 1][indices[0, 1] == 5].tolist() == [0.0]
    assert sentence_volume_scores(sentences, patches, k=3)[0, 0, 0] == 0.0
    by_scores = torch.autograd.grad((scores * features(1, 2, 6)).sum(), (sentences, patches), retain_graph=True)
    assert not by_scores[0][0, 0].any()
    assert by_scores[0][0, 1].any()
    assert not by_scores[1][0, 5].any()
    (by_mean,) = torch.autograd.grad(aligned.sum(), patches)
    torch.testing.assert_close(by_mean[0, 5], torch.full((4,), 2 / 6, dtype=torch.float64))


@pytest.mark.parametrize("poison", [0.7, NAN])
def test_masked_sentences_give_zeros_and_no_gradient(poison: float) -> None:
    sentences, patches = features(2, 3, 4), features(2, 6, 4, seed=1).requires_grad_()
    mask = torch.tensor([[True, False, True], [False, False, False]])
    sentences[~mask] = poison
    sentences.requires_grad_()
    aligned, scores, indices = sentence_patch_topk(sentences, patches, k=2, sentence_mask=mask)
    against = sentence_volume_scores(sentences, patches, k=2, sentence_mask=mask)
    for result in (aligned, scores, indices):
        assert not result[~mask].any()
        assert result[mask].any(1).all()
    assert not against.transpose(1, 2)[~mask].any()
    (aligned.square().sum() + scores.square().sum() + against.square().sum()).backward()
    assert sentences.grad is not None
    assert patches.grad is not None
    assert not sentences.grad[~mask].any()
    assert sentences.grad[mask].any(1).all()
    assert patches.grad.isfinite().all()


def test_a_study_of_masked_sentences_leaves_its_patches_without_gradient() -> None:
    sentences, patches = features(1, 2, 4), features(1, 6, 4, seed=1).requires_grad_()
    results = sentence_patch_topk(sentences, patches, k=2, sentence_mask=torch.zeros(1, 2, dtype=torch.bool))
    (results.aligned.sum() + results.scores.sum()).backward()
    assert patches.grad is not None
    assert not patches.grad.any()


def test_gradcheck_of_both_operations() -> None:
    mask = torch.tensor([[True, True, False]])
    sentences, patches = features(1, 3, 4).requires_grad_(), features(1, 7, 4, seed=1).requires_grad_()

    def within(s: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return sentence_patch_topk(s, p, k=3, sentence_mask=mask)[:2]

    def between(s: Tensor, p: Tensor) -> Tensor:
        return sentence_volume_scores(s, torch.cat([p, p.flip(2)]), k=3, sentence_mask=mask)

    assert torch.autograd.gradcheck(within, (sentences, patches))
    assert torch.autograd.gradcheck(between, (sentences, patches))


@pytest.mark.parametrize("k", [1, 4, 11])
def test_scores_between_studies_against_loops(k: int) -> None:
    sentences, patches = features(3, 4, 5), features(2, 11, 5, seed=1)
    mask = torch.tensor([[True, True, False, False], [True] * 4, [False] * 4])
    scores = sentence_volume_scores(sentences, patches, k=k, sentence_mask=mask)
    assert scores.shape == (3, 2, 4)
    for i in range(3):
        for v in range(2):
            for s in range(4):
                cosines = sorted(F.cosine_similarity(sentences[i, s], p, dim=0).item() for p in patches[v])
                expected = sum(cosines[-k:]) / k if mask[i, s] else 0.0
                assert scores[i, v, s].item() == pytest.approx(expected, abs=1e-12)


def test_strides_do_not_matter() -> None:
    sentences, patches = features(2, 3, 4), features(2, 6, 4, seed=1)
    strided = [x.permute(2, 0, 1).contiguous().permute(1, 2, 0) for x in (sentences, patches)]
    assert not any(x.is_contiguous() for x in strided)
    for one, other in zip(
        sentence_patch_topk(sentences, patches, k=2), sentence_patch_topk(*strided, k=2), strict=True
    ):
        torch.testing.assert_close(one, other)
    expected = sentence_volume_scores(sentences, patches, k=2)
    torch.testing.assert_close(sentence_volume_scores(*strided, k=2), expected)


def test_low_precision_patches_keep_their_dtype_and_give_fp32_scores() -> None:
    sentences, patches = features(1, 3, 4, dtype=torch.bfloat16), features(1, 6, 4, seed=1, dtype=torch.bfloat16)
    aligned, scores, indices = sentence_patch_topk(sentences, patches, k=2)
    expected = sentence_patch_topk(sentences.float(), patches.float(), k=2)
    assert (aligned.dtype, scores.dtype, indices.dtype) == (torch.bfloat16, torch.float32, torch.int64)
    assert torch.equal(indices, expected.indices)
    assert torch.equal(scores, expected.scores)
    assert sentence_volume_scores(sentences, patches, k=2).dtype == torch.float32


def test_autocast_does_not_round_the_cosines() -> None:
    sentences, patches = features(1, 3, 4, dtype=torch.float32), features(1, 6, 4, seed=1, dtype=torch.float32)
    expected, between = sentence_patch_topk(sentences, patches, k=2), sentence_volume_scores(sentences, patches, k=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        results, rounded = sentence_patch_topk(sentences, patches, k=2), sentence_volume_scores(sentences, patches, k=2)
    assert torch.equal(results.scores, expected.scores)
    assert torch.equal(results.aligned, expected.aligned)
    assert torch.equal(rounded, between)


@pytest.mark.parametrize(("B", "S"), [(0, 3), (2, 0)])
def test_nothing_in_gives_nothing_out(B: int, S: int) -> None:
    aligned, scores, indices = sentence_patch_topk(torch.zeros(B, S, 4), torch.zeros(B, 6, 4), k=2)
    assert aligned.shape == (B, S, 4)
    assert scores.shape == indices.shape == (B, S, 2)
    assert sentence_volume_scores(torch.zeros(B, S, 4), torch.zeros(3, 6, 4), k=2).shape == (B, 3, S)
    assert sentence_volume_scores(torch.zeros(3, 5, 4), torch.zeros(B, 6, 4), k=2).shape == (3, B, 5)
