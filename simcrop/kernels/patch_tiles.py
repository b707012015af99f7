"""Choose block sizes of the products of an embedding, by architecture and types.

None spills registers (benchmarks/compile_matrix.py). Wide tiles read their operands less often.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from simcrop.kernels.support import MOST_REGISTERS, architecture


class Tiles(NamedTuple):
    """Block sizes of one program of a product, and how it is compiled."""

    M: int
    E: int
    P: int
    num_warps: int
    num_stages: int

    def arguments(self) -> dict[str, int]:
        """As keywords of a launch."""
        blocks = {"BLOCK_M": self.M, "BLOCK_E": self.E, "BLOCK_P": self.P}
        return {**blocks, "num_warps": self.num_warps, "num_stages": self.num_stages, "maxnreg": MOST_REGISTERS}


PRODUCT_TILES = Tiles(128, 128, 64, 4, 3)
"""Of the product of gathered rows of 16-bit values: two programs fit a multiprocessor."""


def fused_tiles(volume: Tensor, dtype: torch.dtype) -> Tiles:
    """Of the product that gathers its rows."""
    if dtype == torch.float32:
        return Tiles(64, 64, 32, 8, 4)
    if architecture(volume.device) != 90:
        return Tiles(128, 128, 32, 8, 4)
    # Voxels that are converted pass through registers, which leaves room for shorter rows only.
    return Tiles(128, 256, 64, 8, 3) if volume.dtype == dtype else Tiles(128, 256, 32, 8, 4)
