"""The embedding by one kernel, as an operator. What it computes: test_patch_embed.py."""

import pytest
import torch
from support.kernel_inputs import HU, embed_call
from support.parity import on_device

from simcrop.kernels.variants import using


@pytest.mark.parametrize(("gradient", "keep"), [("dense", False), ("fused", False), ("dense", True)])
def test_opcheck(gradient: str, keep: bool) -> None:
    volume, weight, bias, pos, ids = on_device(embed_call()).arguments()
    arguments = (volume, weight, bias, pos, ids, torch.float32, list(HU), keep)
    with using(weight_gradient=gradient):
        torch.library.opcheck(torch.ops.simcrop.masked_patch_embed.default, arguments)
