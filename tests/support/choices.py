"""Compare choices of patches where scores are so near that their order is a matter of rounding."""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import normalize

from simcrop.core.ops import TopK
from simcrop.core.reference import REFERENCE
from simcrop.kernels import TRITON
from support.kernel_inputs import Call
from support.parity import assert_as_exact, on_device, poisoned

ERROR = 1e-5
"""Of a cosine whose products are summed in fp32; the best of 2744 lie some 1e-3 apart."""


def assert_parity_of_choice(call: Call) -> None:
    """The kernel chooses among the best, and all else is as exact as the reference would be with the same choice."""
    call = on_device(call)
    with poisoned():
        ours = call.run(TRITON)
    winners = winners_of(call, ours)
    assert_among_the_best(call, winners)
    op = _topk_of if call.op == "sentence_patch_topk" else _scores_of
    ops = replace(REFERENCE, **{call.op: partial(op, winners)})
    assert_as_exact(ours, call.run(ops), call.double().run(ops))


def winners_of(call: Call, ours: dict[str, Tensor]) -> Tensor:
    """[B, S, 1, k] patches of the own volume, or [Bs, S, Bv, k] of each."""
    if "indices" in ours:
        return ours["indices"][:, :, None]
    (sentences, patches), options = call.tensors.values(), call.options
    winners = torch.ops.simcrop.sentence_volume_scores(
        sentences, patches, options["sentence_mask"], options["k"], True
    )[1]
    return winners.long().unflatten(0, options["sentence_mask"].shape) % call.tensors["patches"].shape[1]


def assert_among_the_best(call: Call, winners: Tensor) -> None:
    """Each sentence's winners are distinct, and in their order their exact cosines are the best ones, but for ERROR."""
    sentences, patches = (normalize(value.double(), dim=2) for value in call.tensors.values() if value is not None)
    shown = call.options["sentence_mask"]
    own = winners.shape[2] == 1
    cosines = (
        (sentences @ patches.transpose(1, 2))[:, :, None] if own else torch.einsum("bse,vne->bsvn", sentences, patches)
    )
    best = cosines.topk(winners.shape[3], dim=3).values
    off = (cosines.gather(3, winners) - best).abs()[shown]
    assert float(off.max()) <= ERROR, f"a winner's cosine is {float(off.max()):.3g} off the best"
    assert bool((winners[shown].sort(dim=-1).values.diff(dim=-1) > 0).all()), "a patch was chosen twice"


def _topk_of(winners: Tensor, sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor) -> TopK:
    chosen = patches[torch.arange(len(patches), device=patches.device)[:, None, None], winners[:, :, 0]]
    hidden = ~sentence_mask[..., None]
    aligned = _wide(chosen).mean(2).to(patches.dtype).masked_fill(hidden, 0.0)
    scores = _cosines(sentences.masked_fill(hidden, 0.0)[:, :, None], chosen).masked_fill(hidden, 0.0)
    return TopK(aligned, scores, winners[:, :, 0])


def _scores_of(winners: Tensor, sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor) -> Tensor:
    shown = sentences.masked_fill(~sentence_mask[..., None], 0.0)
    places = winners.flatten(0, 1)  # a volume at a time: the winners of all take 3 GB in float64 at full size
    columns = [_cosines(shown.flatten(0, 1)[:, None], patches[v][places[:, v]]).mean(1) for v in range(len(patches))]
    return torch.stack(columns, 1).unflatten(0, shown.shape[:2]).transpose(1, 2)


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return (normalize(_wide(a), dim=-1) * normalize(_wide(b), dim=-1)).sum(-1)


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()
