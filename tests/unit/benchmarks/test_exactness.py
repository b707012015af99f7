"""Find what is far from float64; where two patches are as good as each other, accept either."""

from dataclasses import replace

import torch
from exactness import cosines_at, gate_limits, offences, parity_limits
from support.kernel_inputs import embed_call, pairs_call
from torch import Tensor

from simcrop.core.reference import REFERENCE

CALL = replace(pairs_call("sentence_patch_topk", studies=3, sentences=200, dtype=torch.float16), wanted=())
EXACT = CALL.double().forward(REFERENCE)
FOUND = CALL.forward(REFERENCE)
LIMITS = parity_limits(FOUND, EXACT)


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
    assert list(offences(twins, {"indices": other}, exact, parity_limits(found, exact))) == []
    shifted = {"indices": (found["indices"] + 1) % 80}
    assert len(list(offences(twins, shifted, exact, parity_limits(found, exact)))) == 1


def test_a_near_tie_may_change_a_few_means_but_not_many() -> None:
    aligned = FOUND["aligned"].clone()
    aligned[0, 0] += 1  # one of 600 sentences
    assert wrong({**FOUND, "aligned": aligned}) == []
    aligned[0, :5] += 1
    assert wrong({**FOUND, "aligned": aligned}) == ["aligned"]


def test_every_token_of_an_embedding_counts() -> None:
    call = replace(embed_call(), wanted=())
    exact, found = call.double().forward(REFERENCE), call.forward(REFERENCE)
    limits = gate_limits(found, exact, torch.float32)
    assert list(offences(call, found, exact, limits)) == []
    found["result"][0, 0, 0] += 0.01
    assert len(list(offences(call, found, exact, limits))) == 1


def test_cosines_are_those_of_the_patches_that_were_chosen() -> None:
    torch.testing.assert_close(cosines_at(CALL, EXACT["indices"]), EXACT["scores"])
