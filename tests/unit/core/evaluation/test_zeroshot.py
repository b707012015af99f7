"""Findings told by sentences, where the answer is known by construction."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from simcrop.core.errors import InputError
from simcrop.core.evaluation.metrics import auroc
from simcrop.core.evaluation.zeroshot import Prompts, finding_scores
from simcrop.core.reference import sentence_volume_scores

AXES = torch.eye(4)


def best(k: int) -> Callable[[Tensor, Tensor], Tensor]:
    """The mean of the k best cosines as the score of a sentence."""
    return lambda sentences, patches: sentence_volume_scores(sentences[None], patches, k=k)[0]


def test_each_side_is_the_mean_of_the_k_best_cosines_over_its_sentences() -> None:
    patches = normalize(torch.tensor([[[1.0, 0, 0, 0], [0.6, 0.8, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 1.0]]]), dim=-1)
    prompts = Prompts(present=3 * AXES[[0, 2]], absent=0.1 * AXES[[1]])
    # present: (1 + 0.6) / 2 and 0, mean 0.4; absent: (1 + 0.8) / 2
    found = finding_scores([prompts], patches, best(2))
    torch.testing.assert_close(found, torch.tensor([[[0.4, 0.9]]]))


def test_every_finding_is_scored_by_its_own_sentences() -> None:
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(3, 10, 4, generator=generator)
    prompts = [
        Prompts(torch.randn(p, 4, generator=generator), torch.randn(a, 4, generator=generator))
        for p, a in ((1, 3), (2, 1), (4, 4))
    ]
    together = finding_scores(prompts, patches, best(3))
    for column, each in enumerate(prompts):
        alone = finding_scores([each], patches, best(3))
        torch.testing.assert_close(together[:, [column]], alone)
    torch.testing.assert_close(
        finding_scores([Prompts(prompts[0].absent, prompts[0].present)], patches, best(3)),
        together[:, [0]].flip(2),
    )


def test_a_finding_that_shows_in_some_patches_is_told_perfectly() -> None:
    generator = torch.Generator().manual_seed(1)
    has_it = torch.arange(20) % 3 == 0
    patches = AXES[1] + 0.2 * torch.randn(20, 16, 4, generator=generator)
    patches[has_it, 5:8] += 2 * AXES[0]
    prompts = Prompts(present=AXES[[0]], absent=AXES[[1]])
    present, absent = finding_scores([prompts], patches, best(3))[:, 0].unbind(1)
    scores = present - absent
    assert auroc(scores, has_it) == 1.0
    assert auroc(-scores, has_it) == 0.0


def test_a_side_without_a_sentence_is_refused() -> None:
    with pytest.raises(InputError, match="one that denies it"):
        Prompts(AXES, AXES[:0])
