# pyright: basic, reportInvalidTypeForm=false
"""Find and read the voxels of a patch in a volume of any strides (shapes as in simcrop/core/model/patches.py).

Shapes: B studies, K ids a study, N patches a volume on a grid of gH x gW x gD, P = C * PH * PW * PD values a patch.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.model.patches import patch_grid
from simcrop.core.op_checks import check_ids_in_range
from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.support import alignment, cdiv, checks_ids, on, tl, triton

_BLOCK = 256


@triton.jit
def first_voxel(
    p_ids,  # [B * K] int64, or unused
    o_row,
    m_row,
    ids_a_study,
    num_patches,
    grid_w,
    grid_d,
    stride_b,
    step_h,
    step_w,
    step_d,
    HAS_IDS: tl.constexpr,
    ALIGN: tl.constexpr,
):
    """Where patches begin, as multiples of ALIGN, and whether each exists: where none does, some place in its study."""
    patch = o_row % ids_a_study
    if HAS_IDS:
        patch = tl.load(p_ids + o_row, mask=m_row, other=-1)
    exists = m_row & (patch >= 0) & (patch < num_patches)
    patch = tl.where(exists, patch, 0).to(tl.int32)
    h, w, d = patch // (grid_w * grid_d), patch // grid_d % grid_w, patch % grid_d
    first = (o_row // ids_a_study).to(tl.int64) * stride_b
    first += h.to(tl.int64) * step_h + w.to(tl.int64) * step_w + d.to(tl.int64) * step_d
    # By arithmetic: what tl.multiple_of says of a choice is lost in Triton 3.9, which then reads voxel by voxel.
    return first // ALIGN * ALIGN, exists


@triton.jit
def _first_voxel_kernel(
    p_ids,  # [B * K] int64, or unused
    p_first,  # [B * K] int64, out
    num_ids,
    ids_a_study,
    num_patches,
    grid_w,
    grid_d,
    stride_b,
    step_h,
    step_w,
    step_d,
    HAS_IDS: tl.constexpr,
    ALIGN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    o_id = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    m_id = o_id < num_ids
    first, exists = first_voxel(
        p_ids, o_id, m_id, ids_a_study, num_patches, grid_w, grid_d, stride_b, step_h, step_w, step_d, HAS_IDS, ALIGN
    )
    tl.store(p_first + o_id, tl.where(exists, first, -1), mask=m_id)


@triton.jit
def read_first(p_first, o_row, m_row, ALIGN: tl.constexpr):
    """Where patches begin, as multiples of ALIGN, and whether each exists: 0 and False where none does."""
    first = tl.load(p_first + o_row, mask=m_row, other=-1)
    exists = first >= 0
    return tl.where(exists, first, 0) // ALIGN * ALIGN, exists


@triton.jit
def voxel_offset(value, stride_c, stride_h, stride_w, stride_d, PH: tl.constexpr, PW: tl.constexpr, PD: tl.constexpr):
    """Offset of a patch's values from its first voxel; `value` counts in (channel, p, q, r) order."""
    channel, p = value // (PH * PW * PD), value // (PW * PD) % PH
    q, r = value // PD % PW, value % PD
    return channel.to(tl.int64) * stride_c + (p * stride_h + q * stride_w + r * stride_d)


@triton.jit
def in_window(voxels, low, slope, HAS_WINDOW: tl.constexpr):
    """Values as fp32, HU mapped to [-1, 1] where there is a window; NaN stays NaN."""
    values = voxels.to(tl.float32)
    if HAS_WINDOW:
        values = tl.clamp((values - low) * slope - 1.0, -1.0, 1.0, propagate_nan=tl.PropagateNan.ALL)
    return values


def window_arguments(window: Window | None) -> dict[str, float | bool]:
    """What `in_window` is given."""
    low, high = window or (0.0, 1.0)
    return {"low": float(low), "slope": 2.0 / (high - low), "HAS_WINDOW": window is not None}


def patch_arguments(volume: Tensor, patch_size: PatchSize) -> dict[str, int]:
    """What `voxel_offset` is given; inside a patch 32 bits are enough, which is checked here."""
    _, stride_c, stride_h, stride_w, stride_d = volume.stride()
    ph, pw, pd = patch_size
    reach = (ph - 1) * stride_h + (pw - 1) * stride_w + (pd - 1) * stride_d
    if reach >= 2**31:
        raise InputError(f"volume: strides {volume.stride()} put a patch's voxels more than 2**31 apart; copy it first")
    strides = {"stride_c": stride_c, "stride_h": stride_h, "stride_w": stride_w, "stride_d": stride_d}
    return {**strides, "PH": ph, "PW": pw, "PD": pd}


def triple(patch_size: Sequence[int]) -> PatchSize:
    """A patch size out of the list that a custom op is given."""
    ph, pw, pd = patch_size
    return ph, pw, pd


def num_patches(volume: Tensor, patch_size: PatchSize) -> int:
    """N of each study."""
    gh, gw, gd = patch_grid((volume.shape[2], volume.shape[3], volume.shape[4]), patch_size)
    return gh * gw * gd


def refuse_ids(name: str, ids: Tensor | None, volume: Tensor, patch_size: PatchSize) -> None:
    """Raise InputError where an id names no patch, if ids are looked at: on a GPU nobody waits for that."""
    if ids is not None and checks_ids(volume.device):
        check_ids_in_range(name, ids, num_patches(volume, patch_size))


def first_arguments(volume: Tensor, ids: Tensor | None, patch_size: PatchSize) -> dict[str, Any]:
    """What `first_voxel` is given; ALIGN is the power of two that divides every patch's place.

    Raises:
        InputError: 2**31 patches or more.
    """
    gh, gw, gd = patch_grid((volume.shape[2], volume.shape[3], volume.shape[4]), patch_size)
    ids_a_study = gh * gw * gd if ids is None else ids.shape[1]
    most = max(volume.shape[0] * ids_a_study, gh * gw * gd)
    if most >= 2**31:
        raise InputError(f"volume: {most} patches in one call, the kernels count up to 2**31; split the batch")
    strides = volume.stride()
    steps = [patch * stride for patch, stride in zip(patch_size, strides[2:], strict=True)]
    return {
        "p_ids": volume if ids is None else ids.contiguous(),
        "ids_a_study": ids_a_study,
        "num_patches": gh * gw * gd,
        "grid_w": gw,
        "grid_d": gd,
        "stride_b": strides[0],
        "step_h": steps[0],
        "step_w": steps[1],
        "step_d": steps[2],
        "HAS_IDS": ids is not None,
        "ALIGN": alignment([strides[0], *steps]),
    }


def first_voxels(volume: Tensor, ids: Tensor | None, patch_size: PatchSize) -> tuple[Tensor, int]:
    """Where in the volume's storage each patch begins, counted in elements from its first.

    Args:
        volume: [B, C, H, W, D], any strides.
        ids: [B, K] patches; None means all in order.
        patch_size: voxels along (H, W, D).

    Returns:
        offsets [B * K] int64, -1 where an id names no patch; and the power of two that divides all others.

    Raises:
        InputError: 2**31 patches or more.
    """
    given = first_arguments(volume, ids, patch_size)
    num_ids = volume.shape[0] * given["ids_a_study"]
    first = torch.empty(num_ids, dtype=torch.int64, device=volume.device)
    if num_ids:
        with on(volume.device):
            _first_voxel_kernel[(cdiv(num_ids, _BLOCK),)](p_first=first, num_ids=num_ids, **given, BLOCK=_BLOCK)
    return first, given["ALIGN"]
