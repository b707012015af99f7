"""Keep masked attention from a cuDNN that gets it wrong (docs/adr/0006-the-step-on-a-gpu.md)."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

_RIGHT_SINCE = 91501
"""cuDNN 9.15.1. Before it, results may be wrong for lengths that 128 does not divide."""
_WITHOUT_CUDNN = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def masked_attention(device: torch.device, cudnn: int | None = None) -> AbstractContextManager[object]:
    """Leave cuDNN out of attention with a mask, where it is too old.

    Args:
        device: where the attention is computed.
        cudnn: version, as torch tells it: 91501 for 9.15.1, 8907 for 8.9.7. None asks torch.

    Returns:
        For a `with` around the attention.
    """
    if device.type != "cuda":
        return nullcontext()
    version = torch.backends.cudnn.version() if cudnn is None else cudnn
    return nullcontext() if version is None or version >= _RIGHT_SINCE else sdpa_kernel(_WITHOUT_CUDNN)
