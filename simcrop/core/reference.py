"""The accelerated operations in plain torch: their definition, and their implementation on a CPU.

Differentiable by autograd and correct in float64. The contracts are in `simcrop.core.ops`; the Triton kernels in
`simcrop.kernels` are tested against this file.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.model.patches import AnyVolume, apply_window, gather_patches, patch_view
from simcrop.core.op_checks import (
    check_chosen,
    check_embed,
    check_ids_in_range,
    check_mse,
    check_same_studies,
    check_soft,
)
from simcrop.core.ops import Ops, PatchSize, TopK, Window, Windows, as_windows


def masked_patch_embed(
    volume: AnyVolume,
    weight: Float[Tensor, "E WC ph pw pd"],
    bias: Float[Tensor, "E"] | None,
    pos_embed: Float[Tensor, "N E"] | None,
    ids_keep: Int64[Tensor, "B L"] | None,
    *,
    patch_size: PatchSize,
    window: Windows | None = None,
) -> Float[Tensor, "B L E"]:
    """Linear embedding of the visible patches, plus their positions.

    One study at a time, so that memory beyond the result stays within one study's patches (when no gradient is kept).

    Args:
        volume: [B, C, H, W, D] int16 (needs a window) or floating, any strides.
        weight: a Conv3d weight whose kernel is `patch_size`; channel w * C + c reads channel c under window w.
        bias: added to every token.
        pos_embed: one row a patch, added to its token.
        ids_keep: patches to embed in this order, repeats allowed; None takes all in order.
        patch_size: voxels along (H, W, D).
        window: HU range mapped to [-1, 1] on load, or several.

    Returns:
        [B, L, E] in the dtype that torch gives for linear + pos_embed.

    Raises:
        InputError: naming the argument that does not fit.

    Source: docs/method.md, section 2.
    """
    check_embed(volume, weight, bias, pos_embed, ids_keep, patch_size=patch_size, window=window)
    view = patch_view(volume, patch_size)
    grid = view.shape[1:4]
    lost = None
    if ids_keep is not None:
        ids_keep, lost = _within("ids_keep", ids_keep, grid.numel())
    dtype = torch.get_autocast_dtype(volume.device.type) if _autocast(volume) else weight.dtype
    kernel = weight.reshape(weight.shape[0], -1).to(dtype)
    load_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    windows = as_windows(window) or (None,)

    def embed(study: Tensor, ids: Tensor | None) -> Tensor:
        rows = gather_patches(study, ids)
        values = [apply_window(rows, each, load_dtype).to(dtype) for each in windows]
        embedded = _linear(values[0] if len(values) == 1 else torch.cat(values, 1), kernel, bias)
        if pos_embed is None:
            return embedded
        return embedded + (pos_embed if ids is None else pos_embed[ids])

    if not view.shape[0]:
        # The tokens of a study that is not there: nothing, but of the right type and with a gradient of zero.
        some = None if ids_keep is None else ids_keep.new_zeros(ids_keep.shape[1])
        return embed(patch_view(volume.new_zeros(1, *volume.shape[1:]), patch_size)[0], some)[None][:0]
    embedded = torch.stack([embed(study, None if ids_keep is None else ids_keep[b]) for b, study in enumerate(view)])
    return embedded if lost is None else embedded.masked_fill(lost[..., None], math.nan)


def _within(name: str, ids: Int64[Tensor, "B K"], num_patches: int) -> tuple[Int64[Tensor, "B K"], Tensor | None]:
    """Ids that can be read, and which of them were outside: on a CPU they raise, on a GPU nobody waits to ask."""
    if ids.device.type == "cpu":
        check_ids_in_range(name, ids, num_patches)
        return ids, None
    return ids.clamp(0, num_patches - 1), (ids < 0) | (ids >= num_patches)


def _autocast(tensor: Tensor) -> bool:
    return torch.is_autocast_enabled(tensor.device.type)


def _linear(values: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Product and bias; a bias of higher precision than the product is added before rounding, never cast to it."""
    if bias is None or bias.dtype == kernel.dtype:
        return F.linear(values, kernel, bias)
    return (F.linear(values, kernel).to(bias.dtype) + bias).to(kernel.dtype)


def sentence_patch_topk(
    sentences: Float[Tensor, "B S E"],
    patches: Float[Tensor, "B N E"],
    *,
    k: int,
    sentence_mask: Bool[Tensor, "B S"] | None = None,
) -> TopK:
    """Mean of the k patches whose cosine with each sentence is highest.

    Args:
        sentences: text features; a zero row scores 0 everywhere and gets no gradient.
        patches: visible patch features of the same study.
        k: how many, 1 <= k <= min(N, 128).
        sentence_mask: False rows come back as zeros without gradient.

    Returns:
        aligned [B, S, E], scores [B, S, k] fp32 (float64 for float64 input) descending, indices [B, S, k].
        The choice is not differentiated; gradient flows through the mean and through the scores.

    Raises:
        InputError: shapes that do not fit, or k outside its range.

    Source: docs/method.md, section 4, item 3.
    """
    check_chosen(sentences, patches, k, sentence_mask)
    check_same_studies(sentences, patches)
    cosines = _dot(_unit(_shown(sentences, sentence_mask)), _unit(patches))
    indices = stable_topk_indices(cosines.detach(), k)
    scores = cosines.gather(2, indices)
    B, S, _ = indices.shape
    chosen = patches.gather(1, indices.flatten(1)[..., None].expand(B, S * k, patches.shape[2]))
    aligned = chosen.unflatten(1, (S, k)).mean(2)
    if sentence_mask is not None:
        hidden = ~sentence_mask[..., None]
        aligned, scores = aligned.masked_fill(hidden, 0.0), scores.masked_fill(hidden, 0.0)
        indices = indices.masked_fill(hidden, 0)
    return TopK(aligned, scores, indices)


def sentence_volume_scores(
    sentences: Float[Tensor, "Bs S E"],
    patches: Float[Tensor, "Bv N E"],
    *,
    k: int,
    sentence_mask: Bool[Tensor, "Bs S"] | None = None,
) -> Float[Tensor, "Bs Bv S"]:
    """Score each sentence in each volume: the mean of its k best cosines there.

    One volume at a time: the cosines of all pairs are never held at once.

    Args:
        sentences: text features.
        patches: patch features of other or the same studies.
        k: how many, 1 <= k <= min(N, 128).
        sentence_mask: False rows score 0 without gradient.

    Returns:
        Scores in [-1, 1], fp32 (float64 for float64 input).

    Raises:
        InputError: shapes that do not fit, or k outside its range.

    Source: docs/method.md, section 4, item 5 (late interaction; not in the paper).
    """
    check_chosen(sentences, patches, k, sentence_mask)
    Bs, S, E = sentences.shape
    flat = _unit(_shown(sentences, sentence_mask)).reshape(1, Bs * S, E)
    volumes = _unit(patches).unbind()
    columns = [_dot(flat, v[None])[0].topk(k, dim=1).values.mean(1).unflatten(0, (Bs, S)) for v in volumes]
    if not columns:
        return sentences.new_zeros(Bs, 0, S, dtype=flat.dtype)
    scores = torch.stack(columns, dim=1)
    return scores if sentence_mask is None else scores.masked_fill(~sentence_mask[:, None], 0.0)


def soft_volume_scores(
    sentences: Float[Tensor, "Bs S E"],
    patches: Float[Tensor, "Bv N E"],
    *,
    temperature: float,
    sentence_mask: Bool[Tensor, "Bs S"] | None = None,
) -> Float[Tensor, "Bs Bv S"]:
    """Score each sentence in each volume: t * (log of the sum over its N patches of exp(cosine / t) - log N).

    Between the mean (t high) and the maximum (t low) of the cosines. One volume at a time, as above.

    Args:
        sentences: text features.
        patches: patch features of other or the same studies; a zero row, a patch that was left out, has a cosine of -1.
        temperature: t, above 0.
        sentence_mask: False rows score 0 without gradient.

    Returns:
        Scores in [-1, 1], fp32 (float64 for float64 input).

    Raises:
        InputError: shapes that do not fit, volumes without a patch, or a temperature that is not above 0.

    Source: docs/method.md, section 4, item 5 (late interaction; not in the paper).
    """
    check_soft(sentences, patches, temperature, sentence_mask)
    shown = slice(None) if sentence_mask is None else sentence_mask.flatten()
    rows = _unit(sentences.flatten(0, 1)[shown]) / temperature
    left_out = torch.where((patches != 0).any(2), 0.0, -1.0 / temperature).to(rows.dtype)
    columns = [_logits(rows, *volume).logsumexp(1) for volume in zip(_unit(patches), left_out, strict=True)]
    (Bs, S, _), (Bv, N, _) = sentences.shape, patches.shape
    scores = rows.new_zeros(Bs * S, Bv)
    if columns:
        scores[shown] = temperature * (torch.stack(columns, dim=1) - math.log(N))
    return scores.unflatten(0, (Bs, S)).transpose(1, 2)


def _logits(rows: Float[Tensor, "n E"], patches: Float[Tensor, "N E"], offsets: Float[Tensor, "N"]) -> Tensor:
    """Products and an offset of each column, outside autocast, as in `_dot`."""
    with torch.autocast(rows.device.type, enabled=False):
        return torch.addmm(offsets[None], rows, patches.T)


def _unit(rows: Tensor) -> Tensor:
    """Rows over max(norm, 1e-12), in fp32 at least; a zero row stays zero and gets zero gradient."""
    rows = rows if rows.dtype == torch.float64 else rows.float()
    norm = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    return rows * torch.where(norm > 0, 1.0 / norm.clamp_min(1e-12), 0.0)


def _shown(sentences: Tensor, sentence_mask: Tensor | None) -> Tensor:
    """Masked rows as zeros: a NaN in one would reach the patches' gradient as 0 * NaN."""
    return sentences if sentence_mask is None else sentences.masked_fill(~sentence_mask[..., None], 0.0)


def _dot(a: Float[Tensor, "B S E"], b: Float[Tensor, "B N E"]) -> Float[Tensor, "B S N"]:
    """Products of all rows, outside autocast: the cosines decide between patches and keep their precision."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b.transpose(1, 2)


def stable_topk_indices(scores: Float[Tensor, "B S N"], k: int) -> Int64[Tensor, "B S k"]:
    """Indices of the k largest values, descending; ties go to the lower index, NaN counts as largest.

    torch.topk breaks ties arbitrarily, and a stable sort costs several times more: only rows with a tie are sorted.
    """
    num = scores.shape[-1]
    values, indices = scores.topk(min(k + 1, num), dim=-1)
    tied = (values[..., 1:] == values[..., :-1]).any(-1) | values[..., 0].isnan()
    indices = indices[..., :k]
    if bool(tied.any()):
        indices[tied] = scores[tied].sort(dim=-1, descending=True, stable=True).indices[:, :k]
    return indices


def masked_patch_mse(
    pred: Float[Tensor, "B M P"],
    volume: AnyVolume,
    ids_masked: Int64[Tensor, "B M"],
    *,
    patch_size: PatchSize,
    window: Window | None = None,
    normalize_patches: bool = False,
) -> Float[Tensor, ""]:
    """Mean squared error of predicted patches against the volume's own.

    Args:
        pred: predictions in the order of `ids_masked`.
        volume: [B, C, H, W, D] int16 (needs a window) or floating; a constant, it gets no gradient.
        ids_masked: patches to compare; repeats count each time.
        patch_size: voxels along (H, W, D).
        window: HU range mapped to [-1, 1].
        normalize_patches: compare with (x - mean) / sqrt(var + 1e-6) of each patch, unbiased variance.

    Returns:
        Scalar fp32 (float64 for float64 predictions), mean over B * M * P values; 0 where there are none.

    Raises:
        InputError: naming the argument that does not fit.

    Source: docs/method.md, section 3.
    """
    check_mse(pred, volume, ids_masked, patch_size=patch_size, window=window, normalize_patches=normalize_patches)
    view = patch_view(volume.detach(), patch_size)
    ids_masked, lost = _within("ids_masked", ids_masked, view.shape[1:4].numel())
    dtype = torch.float64 if pred.dtype == torch.float64 else torch.float32
    total = pred.sum(dtype=dtype) * 0.0
    # unbind, not pred[b]: the backward of an index would fill a zero tensor of pred's size for every study.
    for rows, ids, study in zip(pred.unbind(), ids_masked, view, strict=True):
        target = apply_window(gather_patches(study, ids), window, dtype)
        if normalize_patches:
            target = _standardize(target)
        total = total + F.mse_loss(rows.to(dtype), target, reduction="sum")
    if lost is not None:
        total = total + torch.where(lost.any(), math.nan, 0.0)
    return total / max(1, pred.numel())


def _standardize(patches: Float[Tensor, "M P"]) -> Float[Tensor, "M P"]:
    """Each row to mean 0 and unbiased variance 1. Two passes on x - first value: a constant row gives exactly 0."""
    shifted = patches - patches[:, :1]
    centred = shifted - shifted.mean(1, keepdim=True)
    variance = centred.square().sum(1, keepdim=True) / (patches.shape[1] - 1)
    return centred / (variance + 1e-6).sqrt()


REFERENCE = Ops(
    "reference", masked_patch_embed, sentence_patch_topk, sentence_volume_scores, soft_volume_scores, masked_patch_mse
)
"""The bundle of this file's functions."""
