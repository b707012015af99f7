"""Late interaction (docs/method.md, section 4, item 5): every sentence against every volume."""

import math
from dataclasses import replace

import pytest
import torch
from support.small_models import ThreadRank, on_ranks
from torch import Tensor

from simcrop.core.objectives.late_interaction import LateInteraction
from simcrop.core.objectives.objective import Sentences
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import LateInteractionRecipe
from simcrop.core.reference import REFERENCE

SCALE, BIAS = 2.0, -0.5


def make_objective(*, top_k: int = 1, same_above: float = 0.95, log_scale: float = math.log(SCALE)) -> LateInteraction:
    objective = LateInteraction(
        LateInteractionRecipe(pooling="best", top_k=top_k, same_above=same_above), REFERENCE
    ).double()
    with torch.no_grad():
        objective.log_scale.fill_(log_scale)
        objective.bias.fill_(BIAS)
    return objective


def loss_of(objective: LateInteraction, sentences: Sentences, patches: Tensor) -> Tensor:
    num, studies = int(sentences.mask.sum()), len(patches)
    return objective(sentences, patches, num_sentences=num, num_studies=studies, communicator=SingleProcess())


def two_studies() -> tuple[Sentences, Tensor]:
    """Report 0 has two sentences, report 1 one; two volumes of two patches in the plane."""
    patches = torch.tensor([[[1.0, 0.0], [0.0, -3.0]], [[0.0, 2.0], [-1.0, 0.0]]], dtype=torch.float64)
    features = torch.tensor([[[1.0, 0.0], [3.0, 4.0]], [[0.0, 7.0], [0.0, 0.0]]], dtype=torch.float64)
    mask = torch.tensor([[True, True], [True, False]])
    return Sentences(features, mask, torch.tensor([[1, 2], [3, 0]]), torch.tensor([10, 11])), patches


# Best cosine of each real sentence with the patches of volume 0 and 1, times SCALE.
LOGITS = [[2.0, 0.0], [1.2, 1.6], [0.0, 2.0]]
OWN = [0, 0, 1]


def softplus(x: float) -> float:
    return math.log1p(math.exp(x))


def cross_entropy(logits: list[float], own: int) -> float:
    return math.log(sum(math.exp(x) for x in logits)) - logits[own]


def presence_loss(logits: list[list[float]], present: list[list[bool]]) -> float:
    """Mean over distinct sentences, then over volumes, of the binary cross-entropy."""
    losses = [
        softplus(-(x + BIAS)) if here else softplus(x + BIAS)
        for row, rows in zip(logits, present, strict=True)
        for x, here in zip(row, rows, strict=True)
    ]
    return sum(losses) / len(losses)


def test_two_volumes_by_hand() -> None:
    loss = loss_of(make_objective(), *two_studies())
    to_volume = sum(cross_entropy(logits, own) for logits, own in zip(LOGITS, OWN, strict=True)) / 3
    to_sentence = presence_loss(LOGITS, [[True, False], [True, False], [False, True]])
    assert loss.item() == pytest.approx(to_volume + to_sentence, rel=1e-9)


def test_the_k_best_are_averaged() -> None:
    sentences, patches = two_studies()
    logits = [[1.0, -1.0], [(0.6 - 0.8), (0.8 - 0.6)], [-1.0, 1.0]]
    to_volume = sum(cross_entropy(row, own) for row, own in zip(logits, OWN, strict=True)) / 3
    to_sentence = presence_loss(logits, [[True, False], [True, False], [False, True]])
    loss = loss_of(make_objective(top_k=2), sentences, patches)
    assert loss.item() == pytest.approx(to_volume + to_sentence, rel=1e-9)


def test_a_sentence_of_both_reports_is_true_of_both_volumes() -> None:
    sentences, patches = two_studies()
    sentences = replace(sentences, keys=torch.tensor([[1, 2], [2, 0]]))
    # Sentences 1 and 2 are one: neither is told apart from the other's volume, and only the first stands for both.
    to_volume = cross_entropy(LOGITS[0], 0) / 3
    to_sentence = presence_loss(LOGITS[:2], [[True, False], [True, True]])
    assert loss_of(make_objective(), sentences, patches).item() == pytest.approx(to_volume + to_sentence, rel=1e-9)


@pytest.mark.parametrize(("same_above", "same"), [(0.9, True), (0.99, False)])
def test_paraphrases_count_as_the_same(same_above: float, same: bool) -> None:
    sentences, patches = two_studies()
    angle = math.acos(0.95)
    meaning = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]], [[0, math.cos(angle), math.sin(angle)], [0, 0, 0]]])
    paraphrased = replace(sentences, meaning=meaning.double())
    equal = replace(sentences, keys=torch.tensor([[1, 2], [2, 0]]))
    expected = loss_of(make_objective(), equal if same else sentences, patches)
    loss = loss_of(make_objective(same_above=same_above), paraphrased, patches)
    torch.testing.assert_close(loss, expected)


def test_other_reconstructions_of_a_study_are_neither_wrong_nor_absent() -> None:
    sentences, patches = two_studies()
    sentences = replace(sentences, study_keys=torch.tensor([10, 10]))
    # Nothing is left to be told apart from; every sentence is true of both volumes.
    to_sentence = presence_loss(LOGITS, [[True, True]] * 3)
    assert loss_of(make_objective(), sentences, patches).item() == pytest.approx(to_sentence, rel=1e-9)


def test_the_scale_is_at_most_100() -> None:
    inputs = two_studies()
    at_limit = loss_of(make_objective(log_scale=math.log(100.0)), *inputs)
    torch.testing.assert_close(loss_of(make_objective(log_scale=20.0), *inputs), at_limit)
    assert not torch.allclose(loss_of(make_objective(log_scale=math.log(90.0)), *inputs), at_limit)
    assert LateInteraction(LateInteractionRecipe(), REFERENCE).scale.item() == pytest.approx(50.0)


def test_no_sentence_anywhere_gives_zero_still_connected() -> None:
    sentences, patches = two_studies()
    features, objective = torch.zeros_like(sentences.features).requires_grad_(), make_objective()
    empty = replace(sentences, features=features, mask=torch.zeros(2, 2, dtype=torch.bool))
    patches.requires_grad_()
    loss = loss_of(objective, empty, patches)
    assert loss.item() == 0.0
    loss.backward()
    for tensor in (features, patches, objective.log_scale, objective.bias):
        assert tensor.grad is not None
        assert not tensor.grad.any()


def test_a_single_volume_has_nothing_to_be_told_apart_from() -> None:
    sentences, patches = two_studies()
    alone = Sentences(sentences.features[:1], sentences.mask[:1], sentences.keys[:1], sentences.study_keys[:1])
    expected = presence_loss([[2.0], [1.2]], [[True], [True]])
    assert loss_of(make_objective(), alone, patches[:1]).item() == pytest.approx(expected, rel=1e-9)


def random_studies() -> tuple[Sentences, Tensor]:
    draw = torch.Generator().manual_seed(4)
    mask = torch.arange(4) < torch.tensor([3, 1, 0, 4])[:, None]
    features = torch.randn(4, 4, 5, generator=draw, dtype=torch.float64) * mask[..., None]
    keys = torch.arange(1, 17).reshape(4, 4) * mask
    keys[3, 2] = keys[0, 1]
    meaning = torch.randn(4, 4, 5, generator=draw).double() * mask[..., None]
    meaning[3, 0] = 2 * meaning[0, 2]  # a paraphrase in another report
    return Sentences(features, mask, keys, torch.tensor([1, 2, 3, 2]), meaning), torch.randn(
        4, 6, 5, generator=draw
    ).double()


def test_gradcheck() -> None:
    sentences, patches = random_studies()
    objective, mask = make_objective(top_k=2), sentences.mask[..., None].double()

    def loss(features: Tensor, its_patches: Tensor, log_scale: Tensor, bias: Tensor) -> Tensor:
        arguments = (replace(sentences, features=features * mask), its_patches)
        counts = {"num_sentences": 8, "num_studies": 4, "communicator": SingleProcess()}
        parameters = {"log_scale": log_scale, "bias": bias}
        return torch.func.functional_call(objective, parameters, arguments, counts)

    features = torch.randn(4, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    inputs = (features, patches, objective.log_scale.detach().clone(), objective.bias.detach().clone())
    assert torch.autograd.gradcheck(loss, tuple(tensor.requires_grad_() for tensor in inputs))


@pytest.mark.parametrize("at_once", [1, 3, 4])
def test_volumes_may_be_scored_some_at_a_time(at_once: int) -> None:
    sentences, patches = random_studies()
    found, kept = list[tuple[Tensor, ...]](), list[int]()
    for some in (None, at_once):
        kept.append(0)
        objective = make_objective(top_k=2)
        features, volumes = sentences.features.clone().requires_grad_(), patches.clone().requires_grad_()
        arguments = {"num_sentences": 8, "num_studies": 4, "communicator": SingleProcess(), "at_once": some}

        def keep(tensor: Tensor) -> Tensor:
            kept[-1] += tensor.nbytes
            return tensor.detach()

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            loss = objective(replace(sentences, features=features), volumes, **arguments)
        found.append((loss, *torch.autograd.grad(loss, [features, volumes, objective.log_scale, objective.bias])))
    torch.testing.assert_close(found[1], found[0])
    assert (kept[1] < kept[0]) == (at_once < len(patches))


def test_two_ranks_share_what_one_process_computes() -> None:
    whole, patches = random_studies()
    rooms = (3, 4)

    def share(rank: ThreadRank) -> tuple[Tensor, Tensor, LateInteraction, Tensor]:
        rows, room = slice(2 * rank.rank, 2 * rank.rank + 2), rooms[rank.rank]
        features, mine = whole.features[rows, :room].clone().requires_grad_(), patches[rows].clone().requires_grad_()
        meaning = None if whole.meaning is None else whole.meaning[rows, :room]
        texts = whole.mask[rows, :room], whole.keys[rows, :room], whole.study_keys[rows]
        sentences = Sentences(features, *texts, meaning, longest=max(rooms))
        objective = make_objective(top_k=2)
        loss = objective(sentences, mine, num_sentences=8, num_studies=4, communicator=rank)
        return features, mine, objective, loss

    ranks = on_ranks(2, share)
    mean = (ranks[0][3] + ranks[1][3]) / 2
    objective = make_objective(top_k=2)
    features, all_patches = whole.features.clone().requires_grad_(), patches.clone().requires_grad_()
    expected = loss_of(objective, replace(whole, features=features), all_patches)
    torch.testing.assert_close(mean, expected)
    mean.backward()
    expected.backward()
    for name in ("log_scale", "bias"):
        parts = [rank[2].get_parameter(name).grad for rank in ranks]
        torch.testing.assert_close(sum(parts), objective.get_parameter(name).grad)  # type: ignore[arg-type]
    for number, (part, mine, _, _) in enumerate(ranks):
        rows = slice(2 * number, 2 * number + 2)
        assert features.grad is not None
        assert all_patches.grad is not None
        torch.testing.assert_close(part.grad, features.grad[rows, : rooms[number]])
        torch.testing.assert_close(mine.grad, all_patches.grad[rows])
