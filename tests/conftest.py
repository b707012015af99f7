"""Its place puts this folder on the import path, so that tests share `tiny` and `kernel_inputs`."""

import os

import torch

if not torch.cuda.is_available():
    # Before anything imports triton: afterwards it has no effect.
    os.environ.setdefault("TRITON_INTERPRET", "1")
