"""Choose the implementation of the accelerated operations."""

import logging
from typing import Literal

import torch

from simcrop.core.errors import BackendError
from simcrop.core.ops import Ops
from simcrop.core.reference import REFERENCE

_log = logging.getLogger("simcrop")


def select_ops(backend: str, device: torch.device) -> Ops:
    """The implementation of the accelerated operations.

    Args:
        backend: auto (Triton where its kernels can run on this device; says what it chose and why), reference or triton
            (`train.ops`).
        device: where the model will be.

    Raises:
        BackendError: triton cannot run; with the reasons.
    """
    if backend == "reference":
        return REFERENCE
    # Here, not above: `import simcrop` must not wait for triton.
    from simcrop.kernels import TRITON, why_not

    reasons = why_not(device)
    if backend == "triton":
        if reasons:
            raise BackendError(f"train.ops: triton cannot run here: {'; '.join(reasons)}; write auto or reference")
        return TRITON
    if device.type != "cuda":
        reasons = [f"the device is {device.type}"]
    chosen = f"reference (plain torch), since {'; '.join(reasons)}" if reasons else "Triton kernels"
    _log.info("operations: %s", chosen)
    return REFERENCE if reasons else TRITON


def compiles(choice: bool | Literal["auto"], device: torch.device) -> bool:
    """Whether torch.compile shall have the blocks (`train.compile`); auto: on a GPU that Triton can use."""
    if choice != "auto":
        return choice
    from simcrop.kernels import why_not

    return device.type == "cuda" and not why_not(device)
