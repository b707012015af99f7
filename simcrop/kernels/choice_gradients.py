# pyright: basic, reportInvalidTypeForm=false
"""Send gradients through a choice of patches: through their cosines and through their mean.

Every row is written once, by a program that adds its terms in a fixed order: no atomics. winner_sums.py says how a
patch's winners are shared out.

Shapes: R sentences of all studies in a row, V volumes, N patches a volume, E features; W = P * k winners a sentence.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from simcrop.kernels.support import MOST_REGISTERS, architecture, on, power_of_two, tl, triton
from simcrop.kernels.winner_sums import add_winners, chunk_size, rows_at_once, sums_of_hubs, whole_chunks
from simcrop.kernels.winners import by_patch


@triton.jit(do_not_specialize=["chunk", "chunks"])
def _cosines_bwd_patches_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [V * N, E]
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [V * N] fp32
    p_keys,  # [num_winners] int64, sorted in each volume
    p_begin,  # [V, N + 1] int32: where each patch's winners begin
    p_gradient,  # [num_winners / repeat] fp32: of the winners' cosines
    p_mean_gradient,  # [R, E]: of the mean of the winners
    p_sums,  # [2, chunks, E] fp32
    p_out,  # [V * N, E]
    chunk,
    chunks,
    N,
    E,
    W,
    repeat,
    share,
    HAS_SCORES: tl.constexpr,
    HAS_MEAN: tl.constexpr,
    BLOCK_E: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    i_n = tl.program_id(0).to(tl.int64)
    o_e = tl.arange(0, BLOCK_E)
    m_e = o_e < E
    p_first = p_begin + i_n + tl.program_id(0) // N
    begin, end = tl.load(p_first), tl.load(p_first + 1)
    b_out = tl.zeros((BLOCK_E,), tl.float32)
    if begin < end:
        b_mean = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
        b_unit = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
        first, last = whole_chunks(begin, end, chunk)
        if first < last:
            m_tile = (tl.arange(0, BLOCK_W) == 0)[:, None] & m_e[None, :]
            p_tile = p_sums + first.to(tl.int64) * E + tl.zeros((BLOCK_W, 1), tl.int32) + o_e[None, :]
            if HAS_MEAN:
                b_mean = tl.load(p_tile, mask=m_tile, other=0)
            if HAS_SCORES:
                b_unit = tl.load(p_tile + chunks.to(tl.int64) * E, mask=m_tile, other=0)
        else:
            b_mean, b_unit = add_winners(
                b_mean, b_unit, begin, end, p_keys, p_sentences, p_inverse_r, p_gradient, p_mean_gradient,
                o_e, E, W, repeat, HAS_SCORES, HAS_MEAN, BLOCK_W,
            )  # fmt: skip
        b_out = tl.sum(b_mean, 0) * share
        if HAS_SCORES:
            inverse_n = tl.load(p_inverse_n + i_n)
            b_p = tl.load(p_patches + i_n * E + o_e, mask=m_e, other=0).to(tl.float32) * inverse_n
            unit = tl.sum(b_unit, 0)
            b_out += (unit - tl.sum(unit * b_p, 0) * b_p) * inverse_n
    tl.store(p_out + i_n * E + o_e, b_out.to(p_out.dtype.element_ty), mask=m_e)


@triton.jit(do_not_specialize=["S"])
def _cosines_bwd_sentences_kernel(
    p_sentences,  # [R, E]
    p_patches,  # [V * N, E]
    p_inverse_r,  # [R] fp32
    p_inverse_n,  # [V * N] fp32
    p_winners,  # [R, W] int: patches of their volumes
    p_gradient,  # [R, W / repeat] fp32: of the winners' cosines
    p_shown,  # [R] bool
    p_out,  # [R, E]
    E,
    W,
    k,
    S,
    N,
    repeat,
    BLOCK_E: tl.constexpr,
    BLOCK_W: tl.constexpr,
):
    i_r = tl.program_id(0).to(tl.int64)
    o_e = tl.arange(0, BLOCK_E)
    m_e = o_e < E
    inverse_r = tl.load(p_inverse_r + i_r)
    b_unit = tl.zeros((BLOCK_E,), tl.float32)
    if tl.load(p_shown + i_r):
        b_units = tl.zeros((BLOCK_W, BLOCK_E), tl.float32)
        for start in range(0, W, BLOCK_W):
            o_w = start + tl.arange(0, BLOCK_W)
            m_w = o_w < W
            volume = tl.where(k == W, i_r // S, o_w // k)
            row = tl.load(p_winners + i_r * W + o_w, mask=m_w, other=0).to(tl.int64) + volume * N
            weight = tl.load(p_gradient + (i_r * W + o_w) // repeat, mask=m_w, other=0)
            weight *= tl.load(p_inverse_n + row, mask=m_w, other=0)
            p_tile = p_patches + row[:, None] * E + o_e[None, :]
            b_patch = tl.load(p_tile, mask=m_w[:, None] & m_e[None, :], other=0).to(tl.float32)
            b_units += b_patch * weight[:, None]
        b_unit = tl.sum(b_units, 0)
        b_s = tl.load(p_sentences + i_r * E + o_e, mask=m_e, other=0).to(tl.float32) * inverse_r
        b_unit = (b_unit - tl.sum(b_unit * b_s, 0) * b_s) * inverse_r
    tl.store(p_out + i_r * E + o_e, b_unit.to(p_out.dtype.element_ty), mask=m_e)


@dataclass(frozen=True)
class Choice:
    """Which patches were chosen by which sentences.

    Attributes:
        sentences: [R, E]. Hidden rows get zeros and give nothing.
        patches: [V, N, E].
        inverse_r, inverse_n: 1 / norm of their rows, fp32.
        winners: [R, P, k] int, patches of the volume: of all (P = V), or of a sentence's own study alone (P = 1).
        shown: [R] bool.
        num_sentences: S, of a study.
    """

    sentences: Tensor
    patches: Tensor
    inverse_r: Tensor
    inverse_n: Tensor
    winners: Tensor
    shown: Tensor
    num_sentences: int

    def gradient_of_sentences(self, of_cosines: Tensor) -> Tensor:
        """Gradient [R, E] in their dtype, from that of the cosines.

        Args:
            of_cosines: [R, W / any] fp32; each serves as many winners in a row.
        """
        (R, E), (_, P, k) = self.sentences.shape, self.winners.shape
        grad, block = torch.empty_like(self.sentences), power_of_two(max(E, 16))
        # By itself, the assembler lets three programs fit a multiprocessor of Hopper; elsewhere it would spill.
        registers = {} if architecture(grad.device) == 90 else {"maxnreg": MOST_REGISTERS}
        if grad.numel():
            with on(grad.device):
                _cosines_bwd_sentences_kernel[(R,)](
                    self.sentences, self.patches, self.inverse_r, self.inverse_n, self.winners, of_cosines, self.shown,
                    grad, E, P * k, k, self.num_sentences, self.patches.shape[1], _repeat(self.winners, of_cosines),
                    BLOCK_E=block, BLOCK_W=rows_at_once(block), num_warps=max(1, min(8, block // 128)),
                    **registers,
                )  # fmt: skip
        return grad

    def gradient_of_patches(self, of_cosines: Tensor | None, of_mean: Tensor | None, share: float) -> Tensor:
        """Gradient [V, N, E] in their dtype.

        Args:
            of_cosines: [R, W / any] fp32; each serves as many winners in a row. None where only the mean was used.
            of_mean: [R, E], or None.
            share: 1 / winners of a mean.
        """
        grad, (V, N, E), (_, P, k) = torch.empty_like(self.patches), self.patches.shape, self.winners.shape
        if not grad.numel():
            return grad
        keys, begin = by_patch(self.winners, self.shown, V, N)
        # A kernel that does not read a gradient is given some other tensor in its place.
        terms = self.inverse_r if of_cosines is None else of_cosines, self.sentences if of_mean is None else of_mean
        repeat = 1 if of_cosines is None else _repeat(self.winners, of_cosines)
        arguments = {
            "HAS_SCORES": of_cosines is not None,
            "HAS_MEAN": of_mean is not None,
            "BLOCK_E": power_of_two(max(E, 16)),
        }
        sums = sums_of_hubs(self.sentences, self.inverse_r, keys, begin, terms, V * N, P * k, repeat, arguments)
        many = keys.numel() >= 2 * V * N
        with on(grad.device):
            _cosines_bwd_patches_kernel[(V * N,)](
                self.sentences, self.patches, self.inverse_r, self.inverse_n, keys, begin, *terms, sums, grad,
                chunk_size(keys.numel()), sums.shape[1], N, E, P * k, repeat, share,
                BLOCK_W=2 if many else 1, num_warps=max(1, arguments["BLOCK_E"] // 1024), **arguments,
            )  # fmt: skip
        return grad


def _repeat(winners: Tensor, of_cosines: Tensor) -> int:
    """How many winners in a row share a gradient; 1 where there are none."""
    return winners[0].numel() // of_cosines.shape[1] if winners.numel() else 1
