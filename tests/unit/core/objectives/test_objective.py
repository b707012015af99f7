"""Sentences of a micro-batch: from their tokens, and gathered from all ranks."""

import torch
from support.small_models import ThreadRank, on_ranks

from simcrop.core.objectives.objective import Sentences, sentence_means


def test_sentence_means_leave_special_tokens_out() -> None:
    tokens = torch.tensor([[[9.0], [1.0], [2.0], [6.0], [9.0], [9.0]]])
    means = sentence_means(tokens, torch.tensor([[-1, 0, 0, 1, -1, -1]]), 3)
    assert means.tolist() == [[[1.5], [6.0], [0.0]]]


def test_sentences_are_gathered_rank_after_rank_padded_to_the_longest() -> None:
    def gathered(rank: ThreadRank) -> Sentences:
        room = 1 + rank.rank
        features = torch.full((1, room, 2), 1.0 + rank.rank)
        keys = torch.arange(1, room + 1)[None]
        own = Sentences(features, torch.ones(1, room, dtype=torch.bool), keys, torch.tensor([7 + rank.rank]), longest=2)
        return own.gathered(rank)

    for everyone in on_ranks(2, gathered):
        assert everyone.features[..., 0].tolist() == [[1.0, 0.0], [2.0, 2.0]]
        assert everyone.mask.tolist() == [[True, False], [True, True]]
        assert everyone.keys.tolist() == [[1, 0], [1, 2]]
        assert everyone.study_keys.tolist() == [7, 8]
        assert everyone.meaning is None
