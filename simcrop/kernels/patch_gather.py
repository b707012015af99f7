# pyright: basic, reportInvalidTypeForm=false
"""Gather patches out of a volume into rows, under any number of HU windows: each voxel is read once.

Shapes: B studies, L ids a study, M = B * L, N patches a volume, P = C * PH * PW * PD voxels a patch, W windows (1 where
there is none), K = W * P values a row, in the order of a Conv3d weight whose W * C channels count windows first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from simcrop.core.model.patches import patch_view
from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.support import cdiv, on, power_of_two, require, tl, triton
from simcrop.kernels.volumes import (
    first_arguments,
    first_voxel,
    in_window,
    num_patches,
    patch_arguments,
    refuse_ids,
    triple,
    voxel_offset,
    window_arguments,
)

_BLOCK = 4096


@triton.jit
def _gather_patches_kernel(
    p_volume,  # [B, C, H, W, D], any strides
    p_ids,  # [M] int64
    p_out,  # [M, WINDOWS * P], out
    M,
    ids_a_study,
    num_patches,
    grid_w,
    grid_d,
    stride_b,
    step_h,
    step_w,
    step_d,
    stride_c,
    stride_h,
    stride_w,
    stride_d,
    LOWS: tl.constexpr,
    SLOPES: tl.constexpr,
    WINDOWS: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    P: tl.constexpr,
    PH: tl.constexpr,
    PW: tl.constexpr,
    PD: tl.constexpr,
    HAS_IDS: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_P: tl.constexpr,
):
    o_m = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    o_p = tl.program_id(1) * BLOCK_P + tl.arange(0, BLOCK_P)
    m_m = o_m < M
    m_tile = m_m[:, None] & (o_p < P)[None, :]
    first, m_first = first_voxel(
        p_ids, o_m, m_m, ids_a_study, num_patches, grid_w, grid_d, stride_b, step_h, step_w, step_d, HAS_IDS, ALIGN
    )
    offset = voxel_offset(o_p, stride_c, stride_h, stride_w, stride_d, PH, PW, PD)
    b_x = tl.load(p_volume + first[:, None] + offset[None, :], mask=m_tile & m_first[:, None], other=0)
    p_tile = p_out + o_m[:, None].to(tl.int64) * (WINDOWS * P) + o_p[None, :]
    for w in tl.static_range(WINDOWS):
        b_w = tl.where(m_first[:, None], in_window(b_x, LOWS[w], SLOPES[w], HAS_WINDOW), float("nan"))
        tl.store(p_tile + w * P, b_w.to(p_out.dtype.element_ty), mask=m_tile)


@torch.library.custom_op("simcrop::gather_patches", mutates_args=())
def gather(
    volume: Tensor, ids: Tensor | None, patch_size: list[int], windows: list[float], dtype: torch.dtype
) -> Tensor:
    """Rows [M, K] of `dtype`; `windows` holds low and high of each in turn."""
    size = triple(patch_size)
    refuse_ids("ids_keep", ids, volume, size)
    M, K = _shape(volume, ids, patch_size, windows)
    out = torch.empty(M, K, dtype=dtype, device=volume.device)
    if not out.numel():
        return out
    scales = [window_arguments(window) for window in _pairs(windows) or [None]]
    P = K // len(scales)
    block = min(_BLOCK, power_of_two(P))
    with on(volume.device):
        _gather_patches_kernel[(cdiv(M, _BLOCK // block), cdiv(P, block))](
            volume,
            p_out=out,
            M=M,
            **first_arguments(volume, ids, size),
            **patch_arguments(volume, size),
            LOWS=tuple(scale["low"] for scale in scales),
            SLOPES=tuple(scale["slope"] for scale in scales),
            WINDOWS=len(scales),
            HAS_WINDOW=bool(windows),
            P=P,
            BLOCK_M=_BLOCK // block,
            BLOCK_P=block,
            num_warps=8,
        )
    return out


@torch.library.custom_op("simcrop::scatter_patches", mutates_args=())
def scatter_patches(
    grad: Tensor, volume: Tensor, ids: Tensor | None, patch_size: list[int], windows: list[float]
) -> Tensor:
    """The gradient of a volume, given that of its rows, in plain torch: correct but not fast, for few need it.

    The clip of a window passes gradient inside its bounds, these included.
    """
    view = patch_view(volume, triple(patch_size))
    grid = view.shape[1:4]
    ids = torch.arange(grid.numel(), device=volume.device) if ids is None else ids
    ids = ids.expand(volume.shape[0], -1).clamp(0, grid.numel() - 1)
    study = torch.arange(volume.shape[0], device=volume.device)[:, None].expand_as(ids)
    where = (study, ids // (grid[1] * grid[2]), ids // grid[2] % grid[1], ids % grid[2])
    rows = grad.float().reshape(*ids.shape, -1, *view.shape[4:])
    if windows:
        voxels = view[where].float()
        inside = [_window_slope(voxels, window) for window in _pairs(windows)]
        rows = rows * torch.stack(inside, 2)
    result = torch.zeros(volume.shape, dtype=torch.float32, device=volume.device)
    patch_view(result, triple(patch_size)).index_put_(where, rows.sum(2), accumulate=True)
    return result.to(volume.dtype)


def _window_slope(voxels: Tensor, window: Window) -> Tensor:
    low, high = window
    slope = 2.0 / (high - low)
    return slope * (((voxels - low) * slope - 1.0).abs() <= 1)


@gather.register_fake
def _(volume, ids, patch_size, windows, dtype):
    return volume.new_empty(_shape(volume, ids, patch_size, windows), dtype=dtype)


@scatter_patches.register_fake
def _(grad, volume, ids, patch_size, windows):
    return volume.new_empty(volume.shape)


def _save(ctx, inputs, output):
    volume, ids, ctx.patch_size, ctx.windows, _ = inputs
    ctx.save_for_backward(volume, ids)


def _backward(ctx, grad):
    volume, ids = ctx.saved_tensors
    return scatter_patches(grad, volume, ids, ctx.patch_size, ctx.windows), None, None, None, None


gather.register_autograd(_backward, setup_context=_save)


def gather_patches(
    volume: Tensor,
    ids_keep: Tensor | None,
    *,
    patch_size: PatchSize,
    windows: Sequence[Window] = (),
    dtype: torch.dtype,
) -> Tensor:
    """Rows of the visible patches; differentiable in a volume of floats, once.

    Args:
        volume: [B, C, H, W, D], any strides.
        ids_keep: [B, L] patches in this order, repeats allowed; None takes all in order.
        patch_size: voxels along (H, W, D).
        windows: HU ranges mapped to [-1, 1], computed in fp32; none leaves the values as they are.
        dtype: of the result.

    Returns:
        [B * L, K]: P values under the first window, then P under the next. A row of NaN where, on a GPU, an id names no
        patch.

    Raises:
        InputError: an id out of range on a CPU, or a dtype without a kernel.
        BackendError: no kernel can run here, with the reasons.
    """
    require(volume.device, volume=volume, patches=volume.new_empty(0, dtype=dtype))
    return gather(volume, ids_keep, list(patch_size), [bound for window in windows for bound in window], dtype)


def _pairs(windows: Sequence[float]) -> list[Window]:
    return list(zip(windows[::2], windows[1::2], strict=True))


def _shape(volume: Tensor, ids: Tensor | None, patch_size: Sequence[int], windows: Sequence[float]) -> tuple[int, int]:
    size = triple(patch_size)
    tokens = num_patches(volume, size) if ids is None else ids.shape[1]
    values = volume.shape[1] * size[0] * size[1] * size[2]
    return volume.shape[0] * tokens, max(1, len(windows) // 2) * values
