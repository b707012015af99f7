"""Similarity-driven alignment (docs/method.md, section 4): all negatives against loops and cases by hand."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.small_models import ThreadRank, on_ranks
from torch import Tensor

from simcrop.core.objectives.alignment import alignment_loss, selected_means
from simcrop.core.objectives.objective import Sentences, cosines
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AlignmentRecipe
from simcrop.core.reference import REFERENCE

MODES = ("report", "batch", "global")


def make_sentences(counts: list[int], *, room: int | None = None, seed: int = 0) -> Sentences:
    """Random sentences of one report each; padding rows are zero, keys all different."""
    room = max(counts) if room is None else room
    draw = torch.Generator().manual_seed(seed)
    mask = torch.arange(room) < torch.tensor(counts)[:, None]
    features = torch.randn(len(counts), room, 4, generator=draw, dtype=torch.float64) * mask[..., None]
    keys = torch.arange(1, mask.numel() + 1).reshape(mask.shape) * mask
    return Sentences(features, mask, keys, torch.arange(len(counts)))


def make_aligned(sentences: Sentences, seed: int = 9) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(sentences.features.shape, generator=draw, dtype=torch.float64)


def loss_of(sentences: Sentences, aligned: Tensor, recipe: AlignmentRecipe) -> Tensor:
    num = int(sentences.mask.sum())
    return alignment_loss(sentences, aligned, recipe, num_sentences=num, communicator=SingleProcess())


def by_loops(sentences: Sentences, aligned: Tensor, recipe: AlignmentRecipe) -> float:
    """The definition, sentence by sentence."""
    B, S = sentences.mask.shape
    places = [(b, i) for b in range(B) for i in range(S)]
    losses = []
    for b, i in places:
        if not sentences.mask[b, i]:
            continue
        columns = []
        for c, j in places:
            left_out = (
                (recipe.negatives == "report" and c != b)
                or (not sentences.mask[c, j] and not recipe.padding_negatives)
                or (recipe.mask_duplicates and sentences.keys[c, j] == sentences.keys[b, i])
                or (recipe.mask_duplicates and c != b and sentences.study_keys[c] == sentences.study_keys[b])
            )
            if (c, j) == (b, i) or not left_out:
                columns.append((c, j))
        for queries, others in ((sentences.features, aligned), (aligned, sentences.features)):
            logits = [
                F.cosine_similarity(queries[b, i], others[place], dim=0) / recipe.temperature for place in columns
            ]
            losses.append(torch.stack(logits).logsumexp(0) - logits[columns.index((b, i))])
    return float(torch.stack(losses).sum() / sentences.mask.sum())


def test_two_sentences_by_hand() -> None:
    features = torch.tensor([[[2.0, 0.0], [0.0, 3.0]]])
    aligned = torch.tensor([[[5.0, 0.0], [1.0, 1.0]]])
    sentences = Sentences(features, torch.ones(1, 2, dtype=torch.bool), torch.tensor([[1, 2]]), torch.tensor([0]))
    # Cosines s_i a_j: [[1, r], [0, r]] with r = sqrt(1/2); temperature 1/2 doubles them.
    r = math.sqrt(0.5)
    s_to_a = math.log(math.exp(2) + math.exp(2 * r)) - 2 + math.log(1 + math.exp(2 * r)) - 2 * r
    a_to_s = math.log(math.exp(2) + 1) - 2 + math.log(2 * math.exp(2 * r)) - 2 * r
    loss = loss_of(sentences, aligned, AlignmentRecipe(temperature=0.5))
    assert loss.item() == pytest.approx((s_to_a + a_to_s) / 2, rel=1e-6)


@pytest.mark.parametrize("negatives", MODES)
@pytest.mark.parametrize("padding_negatives", [False, True])
@pytest.mark.parametrize("mask_duplicates", [False, True])
def test_it_is_the_definition(negatives: str, padding_negatives: bool, mask_duplicates: bool) -> None:
    sentences = make_sentences([3, 1, 4, 0])
    keys = sentences.keys.clone()
    keys[2, 1] = keys[0, 0]  # the same text in another report
    keys[2, 3] = keys[2, 2]  # and twice in one
    sentences = replace(sentences, keys=keys, study_keys=torch.tensor([5, 5, 6, 7]))
    aligned = make_aligned(sentences)
    recipe = AlignmentRecipe(
        negatives=negatives,  # type: ignore[arg-type]
        padding_negatives=padding_negatives,
        mask_duplicates=mask_duplicates,
        temperature=0.3,
    )
    assert loss_of(sentences, aligned, recipe).item() == pytest.approx(by_loops(sentences, aligned, recipe), rel=1e-9)


@pytest.mark.parametrize("negatives", MODES)
def test_padding_changes_nothing_unless_it_is_a_negative(negatives: str) -> None:
    tight, roomy = make_sentences([2, 2]), make_sentences([2, 2], room=5)
    features = F.pad(tight.features, (0, 0, 0, 3))
    roomy = replace(roomy, features=features, keys=F.pad(tight.keys, (0, 3)))
    aligned = make_aligned(roomy)
    recipe = AlignmentRecipe(negatives=negatives)  # type: ignore[arg-type]
    expected = loss_of(tight, aligned[:, :2], recipe)
    torch.testing.assert_close(loss_of(roomy, aligned, recipe), expected)
    paper = replace(recipe, padding_negatives=True)
    assert loss_of(roomy, aligned, paper) > expected


@pytest.mark.parametrize("negatives", MODES)
def test_a_single_sentence_has_nothing_to_be_told_apart_from(negatives: str) -> None:
    sentences = make_sentences([0, 1], room=2)
    recipe = AlignmentRecipe(negatives=negatives)  # type: ignore[arg-type]
    assert loss_of(sentences, make_aligned(sentences), recipe).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("negatives", MODES)
@pytest.mark.parametrize("padding_negatives", [False, True])
@pytest.mark.parametrize("room", [0, 2])
def test_no_sentence_anywhere_gives_zero_still_connected(negatives: str, padding_negatives: bool, room: int) -> None:
    sentences = make_sentences([0, 0], room=room)
    features, aligned = sentences.features.requires_grad_(), make_aligned(sentences).requires_grad_()
    recipe = AlignmentRecipe(negatives=negatives, padding_negatives=padding_negatives)  # type: ignore[arg-type]
    loss = loss_of(sentences, aligned, recipe)
    assert loss.item() == 0.0
    loss.backward()
    for gradient in (features.grad, aligned.grad):
        assert gradient is not None
        assert not gradient.any()


@pytest.mark.parametrize("negatives", MODES)
def test_gradcheck(negatives: str) -> None:
    sentences = make_sentences([2, 3])
    keys = sentences.keys.clone()
    keys[1, 2] = keys[0, 1]
    recipe = AlignmentRecipe(negatives=negatives, temperature=0.5)  # type: ignore[arg-type]
    # Only real rows move: at a padding row of zeros the cosine has no derivative, and none is asked for.
    weights = sentences.mask[..., None].double()

    def loss(features: Tensor, aligned: Tensor) -> Tensor:
        return loss_of(replace(sentences, features=features * weights, keys=keys), aligned, recipe)

    start = torch.randn(2, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.autograd.gradcheck(loss, (start.requires_grad_(), make_aligned(sentences).requires_grad_()))


@pytest.mark.parametrize("negatives", MODES)
@pytest.mark.parametrize("mask_duplicates", [False, True])
def test_two_ranks_share_what_one_process_computes(negatives: str, mask_duplicates: bool) -> None:
    whole = make_sentences([3, 1, 0, 5])
    keys = whole.keys.clone()
    keys[3, 4] = keys[0, 1]
    whole = replace(whole, keys=keys, study_keys=torch.tensor([4, 5, 6, 4]))
    aligned = make_aligned(whole)
    recipe = AlignmentRecipe(negatives=negatives, mask_duplicates=mask_duplicates)  # type: ignore[arg-type]
    rooms = (3, 5)  # each rank pads to its own longest report

    def share(rank: ThreadRank) -> tuple[Tensor, Tensor, Tensor]:
        rows, room = slice(2 * rank.rank, 2 * rank.rank + 2), rooms[rank.rank]
        features = whole.features[rows, :room].clone().requires_grad_()
        mine = aligned[rows, :room].clone().requires_grad_()
        texts = whole.mask[rows, :room], keys[rows, :room], whole.study_keys[rows]
        sentences = Sentences(features, *texts, longest=max(rooms))
        return features, mine, alignment_loss(sentences, mine, recipe, num_sentences=9, communicator=rank)

    def value(features: Tensor, mine: Tensor) -> Tensor:
        """On one process: negatives of the micro-batch are those of a rank, so each half by itself."""
        sentences = replace(whole, features=features)
        if negatives == "global":
            return loss_of(sentences, mine, recipe)
        halves = [
            alignment_loss(
                Sentences(features[rows], whole.mask[rows], keys[rows], whole.study_keys[rows]),
                mine[rows],
                recipe,
                num_sentences=9,
                communicator=SingleProcess(),
            )
            for rows in (slice(0, 2), slice(2, 4))
        ]
        return halves[0] + halves[1]

    ranks = on_ranks(2, share)
    features, mine = whole.features.clone().requires_grad_(), aligned.clone().requires_grad_()
    expected = value(features, mine)
    mean = (ranks[0][2] + ranks[1][2]) / 2
    torch.testing.assert_close(mean, expected)
    expected.backward()
    mean.backward()
    assert features.grad is not None
    assert mine.grad is not None
    for number, (part, its_aligned, _) in enumerate(ranks):
        rows = slice(2 * number, 2 * number + 2)
        assert part.grad is not None
        real = whole.mask[rows, : rooms[number]]
        torch.testing.assert_close(part.grad[real], features.grad[rows, : rooms[number]][real])
        torch.testing.assert_close(its_aligned.grad, mine.grad[rows, : rooms[number]])


def test_autocast_does_not_round_the_cosines() -> None:
    sentences = make_sentences([4])
    sentences = replace(sentences, features=sentences.features.float())
    aligned = make_aligned(sentences).float()
    expected = loss_of(sentences, aligned, AlignmentRecipe())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss_of(sentences, aligned, AlignmentRecipe()), expected)
        assert cosines(aligned, aligned).dtype == torch.float32
    assert cosines(torch.zeros(1, 4), aligned[0]).tolist() == [[0.0] * 4]


def test_padding_takes_the_patches_that_were_drawn_for_its_study() -> None:
    sentences = make_sentences([2, 1, 0], room=3)
    patches = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    drawn = torch.tensor([[4, 0], [1, 3], [2, 4]])
    paper = AlignmentRecipe(top_k=2, padding_negatives=True, padding_patches="drawn")
    means = selected_means(patches, sentences, paper, ops=REFERENCE, padding_patches=drawn)
    first = selected_means(patches, sentences, paper, ops=REFERENCE, padding_patches=None)
    assert torch.equal(means[sentences.mask], first[sentences.mask])
    for study, sentence in (~sentences.mask).nonzero().tolist():
        torch.testing.assert_close(means[study, sentence], patches[study, drawn[study]].mean(0))
        torch.testing.assert_close(first[study, sentence], patches[study, :2].mean(0))
    (gradient,) = torch.autograd.grad(means[2].sum(), patches)
    assert gradient[2].abs().sum(1).nonzero().flatten().tolist() == [2, 4]
