"""The weight gradient of an embedding that kept no patches, against plain torch."""

import pytest
import torch
from support.kernel_inputs import HU, Draw, embed_call
from support.parity import DEVICE, FLOATS, on_device, poisoned

from simcrop.core.model.patches import apply_window, patchify
from simcrop.kernels.patch_fused_gradient import weight_gradient
from simcrop.kernels.variants import using


@pytest.mark.parametrize("gradient", ["dense", "fused"])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("visible", [200, 7, 0])
def test_a_long_sum_is_split_and_every_part_written(visible: int, dtype: torch.dtype, gradient: str) -> None:
    volume, weight, *_, ids = on_device(embed_call(visible=visible)).arguments()
    assert volume is not None
    assert weight is not None
    assert ids is not None
    grad = Draw(5).normal(2 * visible, 70).to(DEVICE)
    with using(weight_gradient=gradient), poisoned():
        found, bias = weight_gradient(grad, volume, weight, ids, dtype, list(HU))
    rows = apply_window(patchify(volume, (4, 3, 10)), HU).to(dtype)
    rows = rows[torch.arange(2, device=DEVICE)[:, None], ids].flatten(0, 1)
    expected = grad.to(dtype).double().t() @ rows.double()
    torch.testing.assert_close(found, expected.reshape(weight.shape).float(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(bias, grad.sum(0))
