# pyright: basic, reportInvalidTypeForm=false
"""Patch embedding of the visible patches only: gather, HU window, product, bias and positions in one kernel.

A program reads voxels of visible patches straight from the volume into the operand of a matrix product; the weight
gradient reads them again in the same way, so patches are never written to memory. Registered as a custom op, not as an
autograd.Function: `torch.compile(fullgraph=True)` then passes, in the interpreter too, for about 10 us more a call.

Shapes: B studies, L tokens a study, M = B * L, E channels, N patches a volume, P = C * PH * PW * PD values a patch.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from simcrop.core.model.patches import patch_grid, patch_view
from simcrop.core.op_checks import check_embed, check_ids_in_range
from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.support import (
    architecture,
    cdiv,
    checks_ids,
    dot_precision,
    num_multiprocessors,
    on,
    require,
    tl,
    triton,
    triton_version,
)
from simcrop.kernels.volumes import aligned, first_voxels, in_window, patch_arguments, voxel_offset, window_arguments


@triton.jit
def _masked_patch_embed_fwd_kernel(
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [M] int64: where each patch begins, -1 for none
    p_ids,  # [M] int64
    p_weight,  # [E, P]
    p_bias,  # [E]
    p_pos,  # [N, E]
    p_out,  # [M, E]
    M,
    E,
    N,
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
    HAS_IDS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    HAS_POS: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    # Programs side by side share their patches: those of one row of tiles come right after one another.
    tiles_e = tl.cdiv(E, BLOCK_E)
    i_m, i_e = tl.program_id(0) // tiles_e, tl.program_id(0) % tiles_e
    o_m = i_m * BLOCK_M + tl.arange(0, BLOCK_M)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    m_e = o_e < E
    first = tl.load(p_first + o_m, mask=o_m < M, other=-1)
    m_first = first >= 0
    first = aligned(first, ALIGN)
    b_out = tl.zeros((BLOCK_M, BLOCK_E), tl.float32)
    for start in range(0, P, BLOCK_P):
        o_p = start + tl.arange(0, BLOCK_P)
        m_p = o_p < P
        offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
        b_x = tl.load(p_volume + first[:, None] + offset[None, :], mask=m_first[:, None] & m_p[None, :], other=0)
        if HAS_WINDOW or b_x.dtype != p_weight.dtype.element_ty:
            b_x = in_window(b_x, low, slope, HAS_WINDOW).to(p_weight.dtype.element_ty)
        b_w = tl.load(p_weight + o_e[:, None] * P + o_p[None, :], mask=m_e[:, None] & m_p[None, :], other=0)
        b_out = tl.dot(b_x, tl.trans(b_w), b_out, input_precision=PRECISION)
    # In halves: the positions of a whole tile would not fit beside it in registers.
    halves = tl.reshape(b_out, (BLOCK_M, 2, BLOCK_E // 2)).permute(0, 2, 1).split()
    o_half = i_e * BLOCK_E + tl.arange(0, BLOCK_E // 2)
    patch = o_m % N
    if HAS_IDS:
        patch = tl.load(p_ids + o_m, mask=m_first, other=0)
    for half in tl.static_range(2):
        o_h = o_half + half * (BLOCK_E // 2)
        m_h = o_h < E
        b_half = halves[half]
        if HAS_BIAS:
            b_half += tl.load(p_bias + o_h, mask=m_h, other=0).to(tl.float32)[None, :]
        if HAS_POS:
            p_row = p_pos + patch[:, None] * E + o_h[None, :]
            b_half += tl.load(p_row, mask=m_first[:, None] & m_h[None, :], other=0).to(tl.float32)
        b_half = tl.where(m_first[:, None], b_half, float("nan"))
        p_tile = p_out + o_m[:, None].to(tl.int64) * E + o_h[None, :]
        tl.store(p_tile, b_half.to(p_out.dtype.element_ty), mask=(o_m < M)[:, None] & m_h[None, :])


@triton.jit
def _masked_patch_embed_bwd_weight_kernel(
    p_grad,  # [M, E]
    p_volume,  # [B, C, H, W, D], any strides
    p_first,  # [M] int64: where each patch begins, -1 for none
    p_weight_sum,  # [SPLITS, E, P] fp32, out
    p_bias_sum,  # [SPLITS, E] fp32, out
    M,
    E,
    steps,
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
    HAS_BIAS: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    DTYPE: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    i_e, i_p, i_split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    o_e = i_e * BLOCK_E + tl.arange(0, BLOCK_E)
    o_p = i_p * BLOCK_P + tl.arange(0, BLOCK_P)
    m_e, m_p = o_e < E, o_p < P
    offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
    b_weight = tl.zeros((BLOCK_E, BLOCK_P), tl.float32)
    b_bias = tl.zeros((BLOCK_E,), tl.float32)
    for step in range(steps):
        o_m = (i_split * steps + step) * BLOCK_M + tl.arange(0, BLOCK_M)
        first = tl.load(p_first + o_m, mask=o_m < M, other=-1)
        m_first = first >= 0
        first = aligned(first, ALIGN)
        p_rows = p_grad + o_m[:, None].to(tl.int64) * E + o_e[None, :]
        b_grad = tl.load(p_rows, mask=(o_m < M)[:, None] & m_e[None, :], other=0)
        if HAS_BIAS:
            b_bias += tl.sum(b_grad.to(tl.float32), 0)
        b_x = tl.load(p_volume + first[:, None] + offset[None, :], mask=m_first[:, None] & m_p[None, :], other=0)
        if HAS_WINDOW or b_x.dtype != DTYPE:
            b_x = in_window(b_x, low, slope, HAS_WINDOW).to(DTYPE)
        b_weight = tl.dot(tl.trans(b_grad.to(DTYPE)), b_x, b_weight, input_precision=PRECISION)
    o_row = (i_split * E + o_e).to(tl.int64)
    tl.store(p_weight_sum + o_row[:, None] * P + o_p[None, :], b_weight, mask=m_e[:, None] & m_p[None, :])
    if HAS_BIAS:
        tl.store(p_bias_sum + i_split * E + o_e, b_bias, mask=m_e & (i_p == 0))


class _Tiles(NamedTuple):
    """Block sizes of one program and how it is compiled."""

    M: int
    E: int
    P: int
    num_warps: int
    num_stages: int

    def arguments(self) -> dict[str, int]:
        """As keywords of a launch."""
        blocks = {"BLOCK_M": self.M, "BLOCK_E": self.E, "BLOCK_P": self.P}
        return {**blocks, "num_warps": self.num_warps, "num_stages": self.num_stages, "maxnreg": 255}


def _forward_tiles(volume: Tensor, dtype: torch.dtype) -> _Tiles:
    """The widest that spills no registers (benchmarks/compile_matrix.py): wide tiles read the weight less often."""
    if dtype == torch.float32:
        return _Tiles(64, 64, 32, 8, 3)
    if architecture(volume.device) != 90:
        return _Tiles(128, 128, 64 if volume.element_size() == 2 else 32, 8, 3)
    if triton_version() >= (3, 9):
        return _Tiles(64, 256, 64, 8, 3)
    # Voxels that are converted pass through registers, which leaves room for shorter rows only.
    return _Tiles(128, 256, 64, 8, 3) if volume.dtype == dtype else _Tiles(128, 256, 32, 8, 4)


def _backward_tiles(volume: Tensor, dtype: torch.dtype) -> _Tiles:
    if dtype == torch.float32:
        return _Tiles(32, 128, 64, 8, 5)
    if architecture(volume.device) != 90:
        return _Tiles(32, 128, 128, 8, 5)
    return _Tiles(64, 128, 256, 8, 5) if triton_version() < (3, 9) else _Tiles(32, 128, 256, 8, 5)


@torch.library.custom_op("simcrop::masked_patch_embed", mutates_args=())
def _embed(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    dtype: torch.dtype,
    window: list[float] | None,
) -> Tensor:
    patch_size = _patch_size(weight)
    N = _num_patches(volume, weight)
    if ids_keep is not None and checks_ids(volume.device):
        check_ids_in_range("ids_keep", ids_keep, N)
    E, P = weight.shape[0], weight[0].numel()
    L = N if ids_keep is None else ids_keep.shape[1]
    out_dtype = dtype if pos_embed is None else torch.promote_types(dtype, pos_embed.dtype)
    out = torch.empty(volume.shape[0], L, E, dtype=out_dtype, device=volume.device)
    if not out.numel():
        return out
    first, align = first_voxels(volume, ids_keep, patch_size)
    M, tiles = first.numel(), _forward_tiles(volume, dtype)
    with on(volume.device):
        _masked_patch_embed_fwd_kernel[(cdiv(M, tiles.M) * cdiv(E, tiles.E),)](
            volume,
            first,
            first if ids_keep is None else ids_keep.contiguous(),
            weight.reshape(E, P).to(dtype),
            out if bias is None else bias.contiguous(),
            out if pos_embed is None else pos_embed.contiguous(),
            out,
            M,
            E,
            N,
            **_patch_and_window(volume, patch_size, window),
            P=P,
            ALIGN=align,
            HAS_IDS=ids_keep is not None,
            HAS_BIAS=bias is not None,
            HAS_POS=pos_embed is not None,
            PRECISION=dot_precision(),
            **tiles.arguments(),
        )
    return out


@torch.library.custom_op("simcrop::masked_patch_embed_weight_gradient", mutates_args=())
def _weight_gradient(
    grad: Tensor,
    volume: Tensor,
    weight: Tensor,
    has_bias: bool,
    ids_keep: Tensor | None,
    dtype: torch.dtype,
    window: list[float] | None,
) -> tuple[Tensor, Tensor]:
    """fp32 gradients of weight [E, C, ph, pw, pd] and bias [E] (or [0]): sums over M are split, then added in order."""
    patch_size = _patch_size(weight)
    E, P = weight.shape[0], weight[0].numel()
    first, align = first_voxels(volume, ids_keep, patch_size)
    M, tiles = first.numel(), _backward_tiles(volume, dtype)
    grid = (cdiv(E, tiles.E), cdiv(P, tiles.P))
    splits = _num_splits(grid[0] * grid[1], cdiv(M, tiles.M), num_multiprocessors(volume.device))
    weight_sum = torch.zeros(splits, E, P, dtype=torch.float32, device=grad.device)
    bias_sum = torch.zeros(splits, E if has_bias else 0, dtype=torch.float32, device=grad.device)
    if M and E:
        with on(volume.device):
            _masked_patch_embed_bwd_weight_kernel[(*grid, splits)](
                grad.contiguous(),
                volume,
                first,
                weight_sum,
                bias_sum,
                M,
                E,
                cdiv(cdiv(M, tiles.M), splits),
                **_patch_and_window(volume, patch_size, window),
                P=P,
                ALIGN=align,
                HAS_BIAS=has_bias,
                DTYPE=getattr(tl, str(dtype).removeprefix("torch.")),
                PRECISION=dot_precision(),
                **tiles.arguments(),
            )
    return weight_sum.sum(0).reshape(weight.shape), bias_sum.sum(0)


@torch.library.custom_op("simcrop::masked_patch_embed_volume_gradient", mutates_args=())
def _volume_gradient(
    grad: Tensor, volume: Tensor, weight: Tensor, ids_keep: Tensor | None, window: list[float] | None
) -> Tensor:
    """In plain torch, correct but not fast: few need it. The clip passes gradient inside its bounds, these included."""
    patch_size = _patch_size(weight)
    view = patch_view(volume, patch_size)
    ids = torch.arange(view.shape[1:4].numel(), device=volume.device) if ids_keep is None else ids_keep
    ids = ids.expand(volume.shape[0], -1).clamp(0, view.shape[1:4].numel() - 1)
    gw, gd = view.shape[2], view.shape[3]
    study = torch.arange(volume.shape[0], device=volume.device)[:, None].expand_as(ids)
    where = (study, ids // (gw * gd), ids // gd % gw, ids % gd)
    values = (grad.float() @ weight.reshape(weight.shape[0], -1).float()).reshape(*ids.shape, *view.shape[4:])
    if window is not None:
        low, high = window
        scaled = (view[where].float() - low) * (2.0 / (high - low)) - 1.0
        values = values * (2.0 / (high - low)) * (scaled.abs() <= 1)
    result = torch.zeros(volume.shape, dtype=torch.float32, device=volume.device)
    patch_view(result, patch_size).index_put_(where, values, accumulate=True)
    return result.to(volume.dtype)


@_embed.register_fake
def _(volume, weight, bias, pos_embed, ids_keep, dtype, window):
    tokens = _num_patches(volume, weight) if ids_keep is None else ids_keep.shape[1]
    out_dtype = dtype if pos_embed is None else torch.promote_types(dtype, pos_embed.dtype)
    return volume.new_empty(volume.shape[0], tokens, weight.shape[0], dtype=out_dtype)


@_weight_gradient.register_fake
def _(grad, volume, weight, has_bias, ids_keep, dtype, window):
    return weight.new_empty(weight.shape, dtype=torch.float32), weight.new_empty(
        weight.shape[0] if has_bias else 0, dtype=torch.float32
    )


@_volume_gradient.register_fake
def _(grad, volume, weight, ids_keep, window):
    return volume.new_empty(volume.shape)


def _save(ctx, inputs, output):
    volume, weight, bias, pos_embed, ids_keep, ctx.dtype, ctx.window = inputs
    ctx.save_for_backward(volume, weight, ids_keep)
    ctx.bias_dtype = None if bias is None else bias.dtype
    ctx.pos = None if pos_embed is None else (pos_embed.shape, pos_embed.dtype)


def _backward(ctx, grad):
    volume, weight, ids_keep = ctx.saved_tensors
    to_volume, to_weight, to_bias, to_pos, *_ = ctx.needs_input_grad
    grad_volume = grad_weight = grad_bias = grad_pos = None
    if to_weight or to_bias:
        grad_weight, grad_bias = _weight_gradient(grad, volume, weight, to_bias, ids_keep, ctx.dtype, ctx.window)
        grad_weight = grad_weight.to(weight.dtype) if to_weight else None
        grad_bias = grad_bias.to(ctx.bias_dtype) if to_bias else None
    if to_pos:
        (shape, dtype), rows = ctx.pos, grad.flatten(0, 1).float()
        # index_put, not index_add: with accumulate it sorts first, so that a repeated id is added in a fixed order.
        ids = torch.arange(shape[0], device=grad.device).expand(grad.shape[0], -1) if ids_keep is None else ids_keep
        ids = ids.flatten().clamp(0, shape[0] - 1)
        grad_pos = grad.new_zeros(shape, dtype=torch.float32).index_put((ids,), rows, accumulate=True).to(dtype)
    if to_volume:
        grad_volume = _volume_gradient(grad, volume, weight, ids_keep, ctx.window)
    return grad_volume, grad_weight, grad_bias, grad_pos, None, None, None


_embed.register_autograd(_backward, setup_context=_save)


def masked_patch_embed(
    volume: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pos_embed: Tensor | None,
    ids_keep: Tensor | None,
    *,
    patch_size: PatchSize,
    window: Window | None = None,
) -> Tensor:
    """Linear embedding of the visible patches, plus their positions, by one kernel.

    Arguments and result are those of `simcrop.core.reference.masked_patch_embed`. Once differentiable; the gradients of
    volume and positions are plain torch. On a GPU an id out of range makes its row NaN; SIMCROP_CHECK=1 raises instead.

    Raises:
        InputError: naming the argument that does not fit, or a dtype without a kernel (float64).
        BackendError: no kernel can run here, with the reasons.
    """
    check_embed(volume, weight, bias, pos_embed, ids_keep, patch_size=patch_size, window=window)
    device = volume.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    computed = weight.new_empty(0, dtype=dtype)
    require(volume.device, volume=volume, weight=computed, bias=bias, pos_embed=pos_embed)
    return _embed(volume, weight, bias, pos_embed, ids_keep, dtype, None if window is None else list(window))


def _patch_size(weight: Tensor) -> PatchSize:
    return weight.shape[2], weight.shape[3], weight.shape[4]


def _num_patches(volume: Tensor, weight: Tensor) -> int:
    gh, gw, gd = patch_grid((volume.shape[2], volume.shape[3], volume.shape[4]), _patch_size(weight))
    return gh * gw * gd


def _patch_and_window(volume: Tensor, patch_size: PatchSize, window: list[float] | None) -> dict[str, float]:
    return {
        **patch_arguments(volume, patch_size),
        **window_arguments(None if window is None else (window[0], window[1])),
    }


def _num_splits(tiles: int, steps: int, multiprocessors: int) -> int:
    """How often to split a long sum: full waves of programs, but each split writes and reads a copy of the result."""

    def gain(splits: int) -> float:
        waves = tiles * splits / multiprocessors
        return waves / math.ceil(waves) - 0.03 * splits

    return max(range(1, min(16, max(1, steps)) + 1), key=gain)
