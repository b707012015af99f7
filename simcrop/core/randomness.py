"""Random draws that depend on what they are for, never on what was drawn before.

Every draw of a run is a function of the seed and of names: the sampler's of (seed, epoch), a study's masks and crop of
(seed, epoch, study), dropout of (seed, step, micro-batch, rank). So a run resumed at any step, with any number of
data workers, continues exactly.
"""

import hashlib
from functools import lru_cache

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def derive_seed(*parts: object) -> int:
    """Seed in [0, 2**63) that is the same on every machine for the same parts."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """CPU generator seeded by `derive_seed(*parts)`."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@lru_cache(maxsize=2, typed=True)
def shuffled(number: int, *parts: object) -> Int64[Tensor, "number"]:
    """The numbers below `number` in an order that is a function of the parts; for reading alone, since it is kept.

    A run asks for the order of its epoch with every micro-batch, and to draw that of a million studies takes longer
    than all else that a micro-batch needs of the main process.
    """
    return torch.randperm(number, generator=generator(*parts))


def noise(seeds: Int64[Tensor, "B"], number: int) -> Float[Tensor, "B number"]:
    """Values in [0, 1) that each seed gives, the same on every device.

    A hash of seed and place, so that a draw on a GPU needs neither a generator there nor a copy from the CPU.

    Args:
        seeds: any.
        number: of values for each.
    """
    values = seeds[:, None] + torch.arange(1, number + 1, device=seeds.device) * 0x9E3779B97F4A7C1
    for factor in (0x2C1B3C6D, 0x297A2D39):
        values = ((values ^ (values >> 15) ^ (values >> 32)) * factor) & 0xFFFFFFFF
    return ((values ^ (values >> 15)) >> 8).float() / 2**24
