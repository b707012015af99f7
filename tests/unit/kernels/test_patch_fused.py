"""The embedding by one kernel, as an operator. What it computes: test_patch_embed.py."""

import torch
from support.kernel_inputs import HU, embed_call
from support.parity import on_device


def test_opcheck() -> None:
    volume, weight, bias, pos, ids = on_device(embed_call()).arguments()
    arguments = (volume, weight, bias, pos, ids, torch.float32, list(HU))
    torch.library.opcheck(torch.ops.simcrop.masked_patch_embed.default, arguments)
