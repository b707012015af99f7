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


SHOWN = [tuple(place) for place in CALL.options["sentence_mask"].nonzero().tolist()]


def flipped(found: dict[str, Tensor], place: tuple[int, ...]) -> tuple[Tensor, int, int]:
    """Indices that name another patch for one sentence; the patch that is not chosen any more, and the other."""
    indices = found["indices"].clone()
    before = int(indices[place][0])
    other = next(index for index in range(40) if index not in indices[place].tolist())
    indices[place][0] = other
    return indices, before, other


def test_a_mean_may_differ_only_where_other_patches_were_chosen() -> None:
    aligned = FOUND["aligned"].clone()
    aligned[SHOWN[0]] += 1
    assert wrong({**FOUND, "aligned": aligned}) == ["aligned"]
    indices, *_ = flipped(FOUND, SHOWN[0])
    # What is chosen in its place has a score of its own, which here is another.
    assert wrong({**FOUND, "aligned": aligned, "indices": indices}) == ["indices"]
    aligned[SHOWN[1]] += 1
    assert wrong({**FOUND, "aligned": aligned, "indices": indices}) == ["aligned", "indices"]


def test_a_gradient_is_held_to_the_patches_that_no_other_choice_concerns() -> None:
    call = replace(CALL, wanted=("sentences", "patches"))
    exact, found = call.double().run(REFERENCE), call.run(REFERENCE)
    limits = parity_limits(found, exact)
    study, sentence = SHOWN[0]
    indices, before, other = flipped(found, (study, sentence))
    name = "gradient of patches"

    def is_wrong(patch: int) -> bool:
        gradient = found[name].clone()
        gradient[study, patch] += 1
        given = {**found, "indices": indices, name: gradient}
        return any(line.startswith(name) for line in offences(call, given, exact, limits))

    concerned = {before, other, *indices[study, sentence].tolist()}
    assert [is_wrong(patch) for patch in range(40)] == [patch not in concerned for patch in range(40)]


def test_every_token_of_an_embedding_counts() -> None:
    call = replace(embed_call(), wanted=())
    exact, found = call.double().forward(REFERENCE), call.forward(REFERENCE)
    limits = gate_limits(found, exact, torch.float32)
    assert list(offences(call, found, exact, limits)) == []
    found["result"][0, 0, 0] += 0.01
    assert len(list(offences(call, found, exact, limits))) == 1


def test_cosines_are_those_of_the_patches_that_were_chosen() -> None:
    torch.testing.assert_close(cosines_at(CALL, EXACT["indices"]), EXACT["scores"])
