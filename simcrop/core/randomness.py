"""Random draws that depend on what they are for, never on what was drawn before.

Every draw of a run is a function of the seed and of names: the sampler's of (seed, epoch), a study's masks and crop of
(seed, epoch, study), dropout of (seed, step, micro-batch, rank). So a run resumed at any step, with any number of
data workers, continues exactly.
"""

import hashlib

import torch


def derive_seed(*parts: object) -> int:
    """Seed in [0, 2**63) that is the same on every machine for the same parts."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """CPU generator seeded by `derive_seed(*parts)`."""
    return torch.Generator().manual_seed(derive_seed(*parts))
