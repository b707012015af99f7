"""Multiply matrices by cuBLAS, where no kernel of ours would be faster."""

import torch
from torch import Tensor


def dense_product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b as fp32: 16-bit values are multiplied as they are, and added up in fp32.

    On a GPU it is cuBLAS; its result is fp32 from the start, so that sums it splits are not rounded to 16 bits either.
    """
    # Given `out`, autocast leaves the product alone.
    out = torch.empty(a.shape[0], b.shape[1], dtype=torch.float32, device=a.device)
    if a.device.type == "cpu" or a.dtype == torch.float32:
        return torch.mm(a.float(), b.float(), out=out)
    return torch.mm(a, b, out_dtype=torch.float32, out=out)
