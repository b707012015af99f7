"""Find what is far from float64; where two patches are as good as each other, accept either."""

from dataclasses import replace

import pytest
import torch
from exactness import gate_limits, offences, parity_limits
from support.kernel_inputs import Call, embed_call, pairs_call
from torch import Tensor

from simcrop.core.reference import REFERENCE

CALL = replace(pairs_call("sentence_patch_topk", studies=3, sentences=200, dtype=torch.float16), wanted=())
EXACT = CALL.double().forward(REFERENCE)
FOUND = CALL.forward(REFERENCE)
LIMITS = parity_limits(CALL, EXACT)


def wrong(found: dict[str, Tensor]) -> list[str]:
    return [line.partition(":")[0] for line in offences(CALL, found, EXACT, LIMITS)]


def test_the_reference_is_as_exact_as_itself() -> None:
    assert wrong(FOUND) == []


def test_one_score_that_is_off_is_found() -> None:
    scores = FOUND["scores"].clone()
    scores[0, 0, 0] += 0.01
    assert wrong({**FOUND, "scores": scores}) == ["scores"]


def test_a_nan_is_found() -> None:
    scores = FOUND["scores"].clone()
    scores[0, 0, 0] = torch.nan
    assert wrong({**FOUND, "scores": scores}) == ["scores"]


def test_an_index_is_held_to_the_score_of_what_it_names() -> None:
    """Where two patches tie, either index will do; a patch with another score will not."""
    patches = CALL.tensors["patches"]
    assert patches is not None
    twins = replace(CALL, tensors={**CALL.tensors, "patches": torch.cat([patches, patches], 1)})
    exact, found = twins.double().forward(REFERENCE), twins.forward(REFERENCE)
    other = torch.where(found["indices"] < 40, found["indices"] + 40, found["indices"] - 40)
    other = torch.where(CALL.options["sentence_mask"][..., None], other, 0)
    assert list(offences(twins, {"indices": other}, exact, parity_limits(twins, exact))) == []
    shifted = {"indices": (found["indices"] + 1) % 80}
    assert len(list(offences(twins, shifted, exact, parity_limits(twins, exact)))) == 1


def test_another_patch_that_is_not_as_good_is_found() -> None:
    indices = FOUND["indices"].clone()
    shown = tuple(CALL.options["sentence_mask"].nonzero()[0].tolist())
    indices[shown][0] = next(index for index in range(40) if index not in indices[shown].tolist())
    # The mean is that of the patches that were chosen before.
    assert wrong({**FOUND, "indices": indices}) == ["aligned", "scores", "indices"]


def test_every_token_of_an_embedding_counts() -> None:
    call = replace(embed_call(), wanted=())
    exact, found = call.double().forward(REFERENCE), call.forward(REFERENCE)
    limits = gate_limits(found, exact, torch.float32)
    assert list(offences(call, found, exact, limits)) == []
    found["result"][0, 0, 0] += 0.01
    assert len(list(offences(call, found, exact, limits))) == 1


@pytest.mark.parametrize("k", [1, 3])
def test_of_two_patches_as_good_as_each_other_either_is_first(k: int) -> None:
    """Of one chosen patch the choice changes, of three their order, and with it the gradients of their slots."""
    call, other = near_tie(k)
    exact, found = call.run(REFERENCE), other.run(REFERENCE)
    limits = dict.fromkeys(exact, 1e-8)
    assert (found["indices"] != exact["indices"]).sum() == min(k, 2)
    assert list(offences(call, found, exact, limits)) == []
    for name in ("aligned", "scores", "gradient of sentences", "gradient of patches"):
        for row in found[name].flatten(0, 1):
            row[0] += 1e-7
            assert [line.partition(":")[0] for line in offences(call, found, exact, limits)] == [name]
            row[0] -= 1e-7


def test_a_patch_that_is_named_twice_is_found() -> None:
    """Even where it is as good as the one that is left out."""
    call, _ = near_tie(3)
    exact = call.run(REFERENCE)
    indices = exact["indices"].clone()
    indices[0, 0, 1] = indices[0, 0, 0]
    assert [*offences(call, {"indices": indices}, exact, {"scores": 1e-8})] == ["indices: off by inf, allowed 1e-08"]


def near_tie(k: int) -> tuple[Call, Call]:
    """Two calls whose first sentence has two best patches, on either side of it; a rounding tells which is first."""
    call = pairs_call("sentence_patch_topk", k=k, seed=1).double()
    sentences, patches = call.tensors["sentences"], call.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    assert call.options["sentence_mask"][0, 0]
    along = torch.nn.functional.normalize(sentences[0, 0], dim=0)
    best = int(call.forward(REFERENCE)["indices"][0, 0, 0])
    calls = []
    for nudge in (1e-9, -1e-9):
        nudged = patches.clone()
        nudged[0, best - 1] = (2 * (patches[0, best] @ along) + nudge) * along - patches[0, best]
        calls.append(replace(call, tensors={**call.tensors, "patches": nudged}))
    return calls[0], calls[1]
