"""The product of gathered patches with a weight, against plain torch."""

import pytest
import torch
import torch.nn.functional as F
from support.kernel_inputs import HU, Draw
from support.parity import DEVICE, FLOATS, assert_as_exact, poisoned
from torch import Tensor

from simcrop.core.ops import Window
from simcrop.kernels.patch_gather import gather_patches
from simcrop.kernels.patch_product import embed_rows
from simcrop.kernels.variants import using

PRODUCTS = ["triton", "cublas"]
STUDIES, N = 2, 12
FIVE = [HU, *((low, low + 400.0) for low in (-900.0, -600.0, -300.0, 0.0))]


def parameters(E: int, K: int, dtype: torch.dtype = torch.float32, *, bias: bool = True) -> list[Tensor | None]:
    """Weight, bias and positions."""
    draw = Draw()
    weight, values = draw.normal(E, K) / K**0.5, draw.normal(E)
    drawn = [weight.to(dtype), values.to(dtype) if bias else None, draw.normal(N, E)]
    return [None if each is None else each.to(DEVICE).requires_grad_() for each in drawn]


def in_torch(rows: Tensor, weight: Tensor, bias: Tensor | None, pos: Tensor | None, ids: Tensor | None) -> Tensor:
    tokens = F.linear(rows, weight.to(rows.dtype), None if bias is None else bias.to(rows.dtype))
    tokens = tokens.view(STUDIES, -1, weight.shape[0])
    return tokens if pos is None else tokens + (pos if ids is None else pos[ids])


def run(embed, rows: Tensor, given: list[Tensor | None], ids: Tensor | None) -> dict[str, Tensor]:
    """Tokens, and the gradients of rows and parameters."""
    leaves = [None if each is None else each.detach().requires_grad_() for each in (rows, *given)]
    tokens = embed(*leaves, ids)
    upstream = Draw(1).normal(*tokens.shape).to(DEVICE, tokens.dtype)
    tokens.backward(upstream)
    names = ("rows", "weight", "bias", "pos_embed")
    gradients = {name: leaf.grad for name, leaf in zip(names, leaves, strict=True) if leaf is not None}
    return {"tokens": tokens.detach(), **gradients}


def ours(rows, weight, bias, pos, ids) -> Tensor:
    return embed_rows(rows, weight, bias, pos, ids, studies=STUDIES, num_patches=N)


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("L", "E", "K"), [(7, 70, 240), (70, 5, 33), (140, 300, 40), (3, 1, 1)])
def test_tokens_and_gradients(L: int, E: int, K: int, dtype: torch.dtype, product: str) -> None:
    rows = Draw(2).normal(STUDIES * L, K, dtype=dtype).to(DEVICE)
    ids = Draw(3).whole(N, STUDIES, L).to(DEVICE)
    for given in (parameters(E, K, dtype), [*parameters(E, K, dtype, bias=False)[:2], None]):
        with using(embed_product=product), poisoned():
            found = run(ours, rows, given, ids)
        exact = run(in_torch, rows.double(), [None if t is None else t.double() for t in given], ids)
        assert_as_exact(found, run(in_torch, rows, given, ids), exact)


@pytest.mark.parametrize("product", PRODUCTS)
def test_all_patches_in_order(product: str) -> None:
    rows, given = Draw(2).normal(STUDIES * N, 40, dtype=torch.float16).to(DEVICE), parameters(20, 40)
    with using(embed_product=product):
        found = run(ours, rows, given, None)
    exact = run(in_torch, rows.double(), [None if t is None else t.double() for t in given], None)
    assert_as_exact(found, run(in_torch, rows, given, None), exact)


@pytest.mark.parametrize(
    "windows", [[HU], [HU, (-160.0, 240.0)], [(low, low + 400.0) for low in range(-900, 600, 300)]]
)
def test_a_weight_of_several_windows(windows: list[Window]) -> None:
    """A voxel under W windows is W channels of a Conv3d."""
    volume = Draw().volume(STUDIES, 1, 8, 9, 20, dtype=torch.int16).to(DEVICE)
    conv = torch.nn.Conv3d(len(windows), 6, (4, 3, 10), (4, 3, 10), device=DEVICE)
    rows = gather_patches(volume, None, patch_size=(4, 3, 10), windows=windows, dtype=torch.float32)
    tokens = embed_rows(rows, conv.weight, conv.bias, None, None, studies=STUDIES, num_patches=N)
    scaled = torch.cat([((volume.float() - low) * (2 / (high - low)) - 1).clamp(-1, 1) for low, high in windows], 1)
    expected = conv(scaled).flatten(2).transpose(1, 2)
    torch.testing.assert_close(tokens, expected)
    upstream = Draw().normal(*tokens.shape).to(DEVICE)
    leaves = [conv.weight, conv.bias]
    found, wanted = (torch.autograd.grad(each, leaves, upstream) for each in (tokens, expected))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(("begin", "K"), [(1, 40), (0, 36)])
def test_rows_that_a_copy_engine_cannot_read(begin: int, K: int) -> None:
    """They begin, or follow one another, at addresses that are no multiples of 16 bytes."""
    rows = Draw(2).normal(STUDIES * N * K + 8, dtype=torch.float16).to(DEVICE)[begin:][: STUDIES * N * K].view(-1, K)
    given = parameters(20, K)
    exact = run(in_torch, rows.double(), [None if t is None else t.double() for t in given], None)
    assert_as_exact(run(ours, rows, given, None), run(in_torch, rows, given, None), exact)


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_row_whose_id_names_no_patch_becomes_nan(product: str) -> None:
    ids = torch.tensor([[0, -1], [N, 3]], device=DEVICE)
    with using(embed_product=product):
        tokens = ours(Draw().normal(4, 40, dtype=torch.float16).to(DEVICE), *parameters(20, 40), ids)
    assert tokens.isnan().all(2).tolist() == [[False, True], [True, False]]
    assert tokens.isnan().any(2).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("product", PRODUCTS)
def test_opcheck(product: str) -> None:
    rows = Draw(2).normal(STUDIES * 7, 40, dtype=torch.float16).to(DEVICE).requires_grad_()
    ids = Draw(3).whole(N, STUDIES, 7).to(DEVICE)
    with using(embed_product=product):
        torch.library.opcheck(torch.ops.simcrop.patch_product.default, (rows, *parameters(20, 40), ids, N))


def test_a_backward_pass_under_autocast_stays_in_the_dtype_of_the_forward_pass() -> None:
    rows, given = Draw(2).normal(STUDIES * 7, 40).to(DEVICE), parameters(20, 40)
    ids = Draw(3).whole(N, STUDIES, 7).to(DEVICE)
    tokens, expected = ours(rows, *given, ids), in_torch(rows, *given, ids)
    expected.square().sum().backward()
    wanted = given[0].grad.clone()
    given[0].grad = None
    loss = tokens.square().sum()
    with torch.autocast(DEVICE.type, torch.float16):
        loss.backward()
    torch.testing.assert_close(given[0].grad, wanted)
