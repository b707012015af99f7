# pyright: basic, reportInvalidTypeForm=false
"""Mean squared error of predicted patches against patches read straight from the volume, with its gradient.

One program a patch holds it in registers: window, normalisation, error and the gradient of `pred` come from a single
read. For bf16 and fp32 the forward pass stores that gradient and the backward pass scales it; in fp16 the gradient,
divided by the number of values, would underflow, so there the backward pass reads the volume again. Registered as a
custom op, for the reasons given in patch_embed.py.

Shapes: B studies, M masked patches a study, P = C * PH * PW * PD values a patch.
"""

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.op_checks import check_mse
from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.support import on, power_of_two, require, tl, triton
from simcrop.kernels.volumes import (
    first_voxels,
    in_window,
    patch_arguments,
    read_first,
    refuse_ids,
    triple,
    voxel_offset,
    window_arguments,
)

_MAX_VALUES = 32768


@triton.jit
def _masked_patch_mse_kernel(
    p_pred,  # [B * M, P]
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [B * M] int64: where each patch begins, -1 for none
    p_sums,  # [B * M] fp32, out: squared errors of each patch
    p_grad,  # [B * M, P], out: 2 * error * share, times p_upstream's value where it is given
    p_upstream,  # fp32 scalar
    share,
    stride_c,
    stride_h,
    stride_w,
    stride_d,
    low,
    slope,
    P: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    PD: tl.constexpr,
    ALIGN: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    NORMALIZE: tl.constexpr,
    LOSS: tl.constexpr,
    GRAD: tl.constexpr,
    UPSTREAM: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    i_row = tl.program_id(0).to(tl.int64)
    o_p = tl.arange(0, BLOCK_P)
    m_p = o_p < P
    # Before the sums, so that both reads are under way together.
    b_pred = tl.load(p_pred + i_row * P + o_p, mask=m_p, other=0).to(tl.float32)
    first, is_inside = read_first(p_first, i_row, True, ALIGN)
    offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
    b_x = in_window(tl.load(p_volume + first + offset, mask=m_p & is_inside, other=0), low, slope, HAS_WINDOW)
    if NORMALIZE:
        # Shifted by the patch's first value, so that a constant patch becomes exactly 0.
        b_x -= in_window(tl.load(p_volume + first, mask=is_inside, other=0), low, slope, HAS_WINDOW)
        b_x -= tl.sum(tl.where(m_p, b_x, 0.0), 0) / P
        variance = tl.sum(tl.where(m_p, b_x * b_x, 0.0), 0) / (P - 1)
        # A division a patch, not a value.
        b_x *= 1.0 / tl.sqrt(variance + 1e-6)
    b_error = tl.where(is_inside, tl.where(m_p, b_pred - b_x, 0.0), float("nan"))
    if LOSS:
        tl.store(p_sums + i_row, tl.sum(b_error * b_error, 0))
    if GRAD:
        scale = 2.0 * share
        if UPSTREAM:
            scale *= tl.load(p_upstream)
        tl.store(p_grad + i_row * P + o_p, (b_error * scale).to(p_grad.dtype.element_ty), mask=m_p)


def _launch(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    patch_size: list[int],
    window: list[float] | None,
    normalize: bool,
    *,
    sums: Tensor | None = None,
    grad: Tensor | None = None,
    upstream: Tensor | None = None,
) -> None:
    if not pred.numel():
        return
    size = triple(patch_size)
    first, align = first_voxels(volume, ids_masked, size)
    block = power_of_two(max(16, pred.shape[2]))
    with on(pred.device):
        _masked_patch_mse_kernel[(first.numel(),)](
            pred,
            volume,
            first,
            pred if sums is None else sums,
            pred if grad is None else grad,
            pred if upstream is None else upstream,
            1.0 / pred.numel(),
            **patch_arguments(volume, size),
            **window_arguments(None if window is None else (window[0], window[1])),
            P=pred.shape[2],
            ALIGN=align,
            NORMALIZE=normalize,
            LOSS=sums is not None,
            GRAD=grad is not None,
            UPSTREAM=upstream is not None,
            BLOCK_P=block,
            num_warps=max(1, min(32, block // 512)),
        )


@torch.library.custom_op("simcrop::masked_patch_mse", mutates_args=())
def _mse(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    patch_size: list[int],
    window: list[float] | None,
    normalize: bool,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The loss; and, to `keep` for a backward pass, the gradient of `pred` for an upstream gradient of 1."""
    refuse_ids("ids_masked", ids_masked, volume, triple(patch_size))
    sums = torch.zeros(pred.shape[0] * pred.shape[1], dtype=torch.float32, device=pred.device)
    grad = torch.empty_like(pred if keep else pred[:0])
    _launch(pred, volume, ids_masked, patch_size, window, normalize, sums=sums, grad=grad if keep else None)
    return sums.sum() / max(1, pred.numel()), grad


@torch.library.custom_op("simcrop::masked_patch_mse_gradient", mutates_args=())
def _gradient(
    upstream: Tensor,
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    patch_size: list[int],
    window: list[float] | None,
    normalize: bool,
) -> Tensor:
    """The gradient of `pred`, from the volume."""
    grad = torch.empty_like(pred)
    _launch(pred, volume, ids_masked, patch_size, window, normalize, grad=grad, upstream=upstream)
    return grad


@_mse.register_fake
def _(pred, volume, ids_masked, patch_size, window, normalize, keep):
    return pred.new_empty((), dtype=torch.float32), torch.empty_like(pred if keep else pred[:0])


@_gradient.register_fake
def _(upstream, pred, volume, ids_masked, patch_size, window, normalize):
    return torch.empty_like(pred)


def _save(ctx, inputs, output):
    pred, volume, ids_masked, *ctx.settings, keep = inputs
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.keeps = keep
    ctx.save_for_backward(*((output[1],) if keep else (pred, volume, ids_masked)))


def _backward(ctx, upstream, _):
    nothing = (None,) * 6
    if upstream is None:
        return None, *nothing
    if ctx.keeps:
        (grad,) = ctx.saved_tensors
        # A new tensor: what was saved must stay as it is for a second backward pass.
        return grad * upstream, *nothing
    return _gradient(upstream, *ctx.saved_tensors, *ctx.settings), *nothing


_mse.register_autograd(_backward, setup_context=_save)


def masked_patch_mse(
    pred: Tensor,
    volume: Tensor,
    ids_masked: Tensor,
    *,
    patch_size: PatchSize,
    window: Window | None = None,
    normalize_patches: bool = False,
) -> Tensor:
    """Mean squared error of predicted patches against the volume's own, by one kernel.

    Arguments and result are those of `simcrop.core.reference.masked_patch_mse`. Once differentiable, in `pred`. On a
    GPU an id out of range makes the loss NaN; SIMCROP_CHECK=1 raises instead.

    Raises:
        InputError: naming the argument that does not fit, a dtype without a kernel (float64), or a patch of more than
            32768 values.
        BackendError: no kernel can run here, with the reasons.
    """
    check_mse(pred, volume, ids_masked, patch_size=patch_size, window=window, normalize_patches=normalize_patches)
    if pred.shape[2] > _MAX_VALUES:
        raise InputError(f"patch_size: {pred.shape[2]} values a patch; the kernel takes up to {_MAX_VALUES}")
    require(pred.device, pred=pred, volume=volume)
    keep = torch.is_grad_enabled() and pred.requires_grad and pred.dtype != torch.float16
    settings = (list(patch_size), None if window is None else list(window), normalize_patches)
    return _mse(pred.contiguous(), volume.detach(), ids_masked, *settings, keep)[0]
