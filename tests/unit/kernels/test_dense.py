"""Products keep what does not fit into 16 bits."""

import pytest
import torch
from support.parity import DEVICE, FLOATS

from simcrop.kernels.dense import dense_product


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_product_is_added_up_and_given_in_fp32(dtype: torch.dtype) -> None:
    """1 + 2**-12 does not fit into 16 bits."""
    a = torch.tensor([[1.0, 2.0**-6]], dtype=dtype, device=DEVICE)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        product = dense_product(a, a.t())
    assert product.dtype == torch.float32
    assert product.item() == 1 + 2.0**-12
