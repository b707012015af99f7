"""Compare results with float64, where a near-tie between two patches may fall either way."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from support.kernel_inputs import Call
from torch import Tensor

from simcrop.core.ops import TopK
from simcrop.core.reference import REFERENCE

_FLIPPED = 2e-3
"""Share of the rows that may differ for a near-tie, where nothing tells which: there another patch is as good."""
_UNTOLD = "sentence_volume_scores"
"""The operation that does not tell which patches it chose."""
_OF_A_CHOICE = ("gradient of sentences", "gradient of patches")
_ADDED_AT_ONCE = 16
"""Products of 16 bits that a tensor core adds to a sum at a time."""


def offences(
    call: Call, found: Mapping[str, Tensor], exact: Mapping[str, Tensor], limits: Mapping[str, float]
) -> Iterator[str]:
    """Results that are further from float64 than they may be.

    Args:
        call: the operation and its inputs.
        found: results, and perhaps gradients.
        exact: the same in float64.
        limits: the largest difference allowed, by name. Indices are held to that of the scores: what they name must be
            as good as the best. All else is held to what float64 makes of the same choice.
    """
    told = of_choice(call, found, exact)
    for name, value in found.items():
        limit = limits["scores" if name == "indices" else name]
        if name == "indices":
            errors = row_errors(told["scores"], exact["scores"]).masked_fill(_repeats(call, value), torch.inf)
        else:
            errors = row_errors(value, told[name])
        allowed = _FLIPPED if call.op == _UNTOLD and name in _OF_A_CHOICE else 0
        if errors.numel() and float((errors > limit).float().mean()) > allowed:
            yield f"{name}: off by {float(errors.max()):.3g}, allowed {limit:.3g}"


def of_choice(call: Call, found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """What float64 gives for the patches that were chosen, slot by slot; `exact` where no others were.

    Two patches that are as good as each other may change places. Their slots have gradients of their own, so the
    gradients of both patches and of their sentence follow the order too.
    """
    indices = found.get("indices")
    if indices is None or torch.equal(indices, exact["indices"]):
        return exact

    def choice(sentences: Tensor, patches: Tensor, *, k: int, sentence_mask: Tensor | None = None) -> TopK:
        rows = indices.flatten(1)[..., None].expand(-1, -1, patches.shape[2])
        chosen = patches.gather(1, rows).unflatten(1, (-1, k))
        units = torch.nn.functional.normalize(chosen, dim=3)
        scores = torch.einsum("bse,bske->bsk", torch.nn.functional.normalize(sentences, dim=2), units)
        hidden = torch.zeros_like(scores[..., :1], dtype=torch.bool)
        hidden = hidden if sentence_mask is None else ~sentence_mask[..., None]
        return TopK(chosen.mean(2).masked_fill(hidden, 0), scores.masked_fill(hidden, 0), indices)

    wanted = tuple(name for name in call.wanted if f"gradient of {name}" in found)
    return replace(call, wanted=wanted).double().run(replace(REFERENCE, sentence_patch_topk=choice))


def _repeats(call: Call, indices: Tensor) -> Tensor:
    """Sentences that name a patch twice; hidden ones name the first throughout."""
    repeats = (indices.sort(-1).values.diff() == 0).any(-1)
    mask = call.options.get("sentence_mask")
    return repeats if mask is None else repeats & mask


def gate_limits(found: Mapping[str, Tensor], exact: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, float]:
    """A few roundings of the dtype that is computed in."""
    return {name: 8 * torch.finfo(dtype).eps * max(1.0, _size(exact[name])) for name in found if name != "indices"}


def parity_limits(call: Call, exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Twice the distance of the reference in the same dtype, and some roundings of the result's."""
    reference = call.run(REFERENCE)
    told, limits = of_choice(call, reference, exact), dict[str, float]()
    for name, value in reference.items():
        if value.is_floating_point():
            errors = row_errors(value, told[name]).flatten()
            if call.op == _UNTOLD and name in _OF_A_CHOICE:
                # But for the rows in which the reference itself met a near-tie.
                errors = errors.sort().values[: max(1, int(len(errors) * (1 - _FLIPPED)))]
            own = float(errors.max()) if errors.numel() else 0.0
            limits[name] = 2 * own + roundings(call) * torch.finfo(value.dtype).eps * _size(exact[name])
    return limits


def roundings(call: Call) -> int:
    """How many roundings of its dtype a result may lie beyond the reference, which adds 16-bit products in plain fp32.

    A tensor core cuts off what it adds, so a cosine of 16-bit features may be small by a rounding for each addition. Of
    768 features in fp16, a patch that most sentences resemble was so by 18 on an H200.
    """
    features = call.tensors.get("patches")
    if features is None or not features.is_cuda or features.element_size() != 2:
        return 4
    return max(4, features.shape[2] // _ADDED_AT_ONCE)


def row_errors(value: Tensor, exact: Tensor) -> Tensor:
    """The largest difference of each row; NaN agrees with NaN alone."""
    gap = (value.double() - exact.double()).abs()
    gap = torch.where(value.isnan() & exact.isnan(), 0.0, gap).nan_to_num(nan=torch.inf)
    return gap.amax(-1) if gap.ndim else gap


def _size(values: Tensor) -> float:
    return float(values.nan_to_num().abs().max()) if values.numel() else 0.0
