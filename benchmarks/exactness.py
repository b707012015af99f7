"""Compare results with float64, where a near-tie between two patches may fall either way."""

from collections.abc import Iterator, Mapping

import torch
from support.kernel_inputs import Call
from torch import Tensor

CHOICE_OPS = ("sentence_patch_topk", "sentence_volume_scores")
_FLIPPED = 2e-3
"""Share of the rows that may differ for a near-tie, where nothing tells which: there another patch is as good."""
_OF_A_CHOICE = ("aligned", "gradient of sentences", "gradient of patches")
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
        limits: the largest difference allowed, by name; indices are held to that of the scores. What follows from a
            sentence's choice is held to it only where the same patches were chosen.
    """
    others = _other_choices(call, found, exact)
    for name, value in found.items():
        limit = limits["scores" if name == "indices" else name]
        if name == "indices":
            errors = row_errors(cosines_at(call, value), exact["scores"])
        else:
            errors = row_errors(value, exact[name])
        if name in others:
            errors = errors.masked_fill(others[name], 0)
        allowed = _FLIPPED if call.op in CHOICE_OPS and name in _OF_A_CHOICE and not others else 0
        if errors.numel() and float((errors > limit).float().mean()) > allowed:
            yield f"{name}: off by {float(errors.max()):.3g}, allowed {limit:.3g}"


def _other_choices(call: Call, found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rows of results that depend on a sentence which chose other patches than in float64; nothing without indices."""
    if "indices" not in found or "indices" not in exact:
        return {}
    ours, theirs = found["indices"].sort(-1).values, exact["indices"].sort(-1).values
    sentences = (ours != theirs).any(-1)
    patches = call.tensors["patches"]
    assert patches is not None
    B, N = patches.shape[:2]
    rows = torch.zeros(B, N + 1, dtype=torch.bool, device=patches.device)
    for chosen in (ours, theirs):
        rows.scatter_(1, torch.where(sentences[..., None], chosen, N).flatten(1), value=True)
    return {"aligned": sentences, "gradient of sentences": sentences, "gradient of patches": rows[:, :N]}


def gate_limits(found: Mapping[str, Tensor], exact: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, float]:
    """A few roundings of the dtype that is computed in."""
    return {name: 8 * torch.finfo(dtype).eps * max(1.0, _size(exact[name])) for name in found if name != "indices"}


def roundings(call: Call) -> int:
    """How many roundings of its dtype a result may lie beyond the reference, which adds 16-bit products in plain fp32.

    A tensor core cuts off what it adds, so a cosine of 16-bit features may be small by a rounding for each addition. Of
    768 features in fp16, a patch that most sentences resemble was so by 18 on an H200.
    """
    features = call.tensors.get("patches")
    if features is None or not features.is_cuda or features.element_size() != 2:
        return 4
    return max(4, features.shape[2] // _ADDED_AT_ONCE)


def parity_limits(reference: Mapping[str, Tensor], exact: Mapping[str, Tensor], roundings: int = 4) -> dict[str, float]:
    """Twice the distance of the reference in the same dtype, and some roundings of the result's."""
    limits: dict[str, float] = {}
    for name, value in reference.items():
        if value.is_floating_point():
            errors = row_errors(value, exact[name]).flatten()
            # But for the rows in which the reference itself met a near-tie.
            typical = errors.sort().values[: max(1, int(len(errors) * (1 - _FLIPPED)))]
            own = float((typical if name in _OF_A_CHOICE else errors).max()) if errors.numel() else 0.0
            limits[name] = 2 * own + roundings * torch.finfo(value.dtype).eps * _size(exact[name])
    return limits


def row_errors(value: Tensor, exact: Tensor) -> Tensor:
    """The largest difference of each row; NaN agrees with NaN alone."""
    gap = (value.double() - exact.double()).abs()
    gap = torch.where(value.isnan() & exact.isnan(), 0.0, gap).nan_to_num(nan=torch.inf)
    return gap.amax(-1) if gap.ndim else gap


def cosines_at(call: Call, indices: Tensor) -> Tensor:
    """The cosines in float64 of the patches that were chosen, 0 for hidden sentences."""
    sentences, patches = call.tensors["sentences"], call.tensors["patches"]
    assert sentences is not None
    assert patches is not None
    units = torch.nn.functional.normalize(patches.double(), dim=2)
    rows = indices.flatten(1)[..., None].expand(-1, -1, units.shape[2])
    chosen = units.gather(1, rows).unflatten(1, indices.shape[1:])
    cosines = torch.einsum("bse,bske->bsk", torch.nn.functional.normalize(sentences.double(), dim=2), chosen)
    mask = call.options.get("sentence_mask")
    return cosines if mask is None else cosines.masked_fill(~mask[..., None], 0)


def _size(values: Tensor) -> float:
    return float(values.nan_to_num().abs().max()) if values.numel() else 0.0
