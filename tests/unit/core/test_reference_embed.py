"""The reference patch embedding against Conv3d, and its contract."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simcrop.core.reference import masked_patch_embed

PATCH = (4, 3, 2)
WINDOW = (-1000.0, 1000.0)
N, E = 30, 5


def inputs(dtype: torch.dtype = torch.float32, *, channels: int = 2) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """volume, weight, bias, positions, unsorted ids with repeats; a grid of 2x3x5."""
    draw = torch.Generator().manual_seed(3)
    volume = torch.randn(2, channels, 8, 9, 10, generator=draw, dtype=dtype)
    weight = torch.randn(E, channels, *PATCH, generator=draw, dtype=dtype)
    bias, positions = torch.randn(E, generator=draw, dtype=dtype), torch.randn(N, E, generator=draw, dtype=dtype)
    return volume, weight, bias, positions, torch.tensor([[29, 0, 7, 7], [3, 2, 1, 28]])


def by_conv(volume: Tensor, weight: Tensor, bias: Tensor | None, positions: Tensor | None, ids: Tensor) -> Tensor:
    """What the operation replaces: embed everything, add positions, take what is visible."""
    tokens = F.conv3d(volume, weight, bias, stride=PATCH).flatten(2).transpose(1, 2)
    tokens = tokens if positions is None else tokens + positions
    return torch.stack([rows[chosen] for rows, chosen in zip(tokens, ids, strict=True)])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("parts", ["bias and positions", "neither"])
def test_it_equals_conv3d_and_gather(dtype: torch.dtype, tolerance: float, channels: int, parts: str) -> None:
    volume, weight, bias, positions, ids = inputs(dtype, channels=channels)
    extra = (bias, positions) if parts == "bias and positions" else (None, None)
    tokens = masked_patch_embed(volume, weight, *extra, ids, patch_size=PATCH)
    assert tokens.dtype == dtype
    torch.testing.assert_close(tokens, by_conv(volume, weight, *extra, ids), rtol=tolerance, atol=10 * tolerance)


def test_no_ids_take_every_patch_in_order() -> None:
    volume, weight, bias, positions, _ = inputs()
    everything = torch.arange(N).expand(2, -1)
    tokens = masked_patch_embed(volume, weight, bias, positions, None, patch_size=PATCH)
    torch.testing.assert_close(tokens, by_conv(volume, weight, bias, positions, everything), rtol=1e-5, atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(N)), st.integers(0, N))
def test_permuting_the_ids_permutes_the_tokens(order: list[int], num: int) -> None:
    volume, weight, bias, positions, _ = inputs(torch.float64)
    ids = torch.tensor(order[:num], dtype=torch.int64).expand(2, -1)
    everything = masked_patch_embed(volume, weight, bias, positions, None, patch_size=PATCH)
    tokens = masked_patch_embed(volume, weight, bias, positions, ids, patch_size=PATCH)
    assert tokens.shape == (2, num, E)
    torch.testing.assert_close(tokens, everything[:, ids[0]])


def test_int16_with_a_window_equals_the_windowed_float_volume() -> None:
    _, weight, bias, positions, ids = inputs()
    hounsfield = torch.randint(-3000, 3000, (2, 2, 8, 9, 10), dtype=torch.int16)
    windowed = (hounsfield.double() / 1000.0).clamp(-1.0, 1.0).float()
    expected = masked_patch_embed(windowed, weight, bias, positions, ids, patch_size=PATCH)
    tokens = masked_patch_embed(hounsfield, weight, bias, positions, ids, patch_size=PATCH, window=WINDOW)
    torch.testing.assert_close(tokens, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_precision_volume_is_windowed_in_fp32(dtype: torch.dtype) -> None:
    _, weight, bias, positions, ids = inputs()
    volume = (torch.randn(2, 2, 8, 9, 10) * 500).to(dtype)
    expected = masked_patch_embed(volume.float(), weight, bias, positions, ids, patch_size=PATCH, window=WINDOW)
    tokens = masked_patch_embed(volume, weight, bias, positions, ids, patch_size=PATCH, window=WINDOW)
    assert tokens.dtype == torch.float32
    assert torch.equal(tokens, expected)


def test_strides_do_not_matter() -> None:
    volume, weight, bias, positions, ids = inputs(torch.float64)
    expected = masked_patch_embed(volume, weight, bias, positions, ids, patch_size=PATCH)
    permuted = volume.permute(4, 2, 0, 3, 1).contiguous().permute(2, 4, 1, 3, 0)
    every_other = torch.zeros(2, 2, 8, 9, 20, dtype=torch.float64)
    every_other[..., ::2] = volume
    long_ids = torch.stack([ids, ids], dim=2)[..., 0]
    transposed = weight.transpose(0, 4).contiguous().transpose(0, 4)
    for given_volume in (permuted, every_other[..., ::2]):
        assert not given_volume.is_contiguous()
        tokens = masked_patch_embed(given_volume, transposed, bias, positions, long_ids, patch_size=PATCH)
        torch.testing.assert_close(tokens, expected)


def test_one_volume_may_be_expanded_over_the_batch() -> None:
    volume, weight, bias, positions, ids = inputs(torch.float64)
    expected = masked_patch_embed(volume[:1].repeat(2, 1, 1, 1, 1), weight, bias, positions, ids, patch_size=PATCH)
    expanded = masked_patch_embed(volume[:1].expand(2, -1, -1, -1, -1), weight, bias, positions, ids, patch_size=PATCH)
    torch.testing.assert_close(expanded, expected)


@pytest.mark.parametrize("ids", [None, torch.tensor([[1, 1, 0]])])
def test_gradcheck_of_every_input(ids: Tensor | None) -> None:
    draw = torch.Generator().manual_seed(0)
    volume = torch.randn(1, 2, 2, 2, 4, generator=draw, dtype=torch.float64) * 900
    volume[0, 0, 0, 0, 0], volume[0, 1, 0, 0, 0] = 3000.0, -2500.0
    weight = torch.randn(3, 2, 2, 2, 2, generator=draw, dtype=torch.float64) * 10
    bias, positions = torch.randn(3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)

    def embed(*tensors: Tensor) -> Tensor:
        return masked_patch_embed(*tensors, ids, patch_size=(2, 2, 2), window=WINDOW)  # type: ignore[call-arg]

    arguments = tuple(tensor.requires_grad_() for tensor in (volume, weight, bias, positions))
    assert torch.autograd.gradcheck(embed, arguments)
    assert torch.autograd.grad(embed(*arguments).sum(), volume)[0][0, :, 0, 0, 0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("bias_dtype", [torch.float32, None])
def test_under_autocast_the_table_keeps_the_result_in_fp32(bias_dtype: torch.dtype | None) -> None:
    _, weight, bias, positions, ids = inputs()
    volume = torch.full((2, 2, 8, 9, 10), 771, dtype=torch.int16)  # between two bf16 numbers
    given_bias = None if bias_dtype is None else bias + 771.3
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tokens = masked_patch_embed(volume, weight, given_bias, positions, ids, patch_size=PATCH, window=WINDOW)
        bare = masked_patch_embed(volume, weight, given_bias, None, ids, patch_size=PATCH, window=WINDOW)
    assert tokens.dtype == torch.float32
    assert bare.dtype == torch.bfloat16
    torch.testing.assert_close(tokens, bare.float() + positions[ids], rtol=0, atol=0)


def test_under_autocast_neither_volume_nor_bias_is_cast() -> None:
    volume = torch.full((1, 1, 2, 2, 2), 771.0)
    weight, window = torch.ones(1, 1, 2, 2, 2), (770.0, 774.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        plain = masked_patch_embed(volume, weight, None, None, None, patch_size=(2, 2, 2), window=window)
        biased = masked_patch_embed(
            volume, weight, torch.tensor([4.01]), None, None, patch_size=(2, 2, 2), window=window
        )
    # Rounded to bf16 before the window, 771 is 772, which gives 0; a bias rounded to 4 gives 0 as well.
    assert plain.item() == -4.0
    assert biased.item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(("num_studies", "num_ids"), [(0, 4), (2, 0), (0, 0)])
def test_nothing_in_gives_nothing_out_still_connected(num_studies: int, num_ids: int) -> None:
    volume, weight, bias, positions, _ = inputs()
    weight.requires_grad_()
    ids = torch.zeros(num_studies, num_ids, dtype=torch.int64)
    tokens = masked_patch_embed(volume[:num_studies], weight, bias, positions, ids, patch_size=PATCH)
    assert tokens.shape == (num_studies, num_ids, E)
    tokens.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


def test_no_studies_and_no_ids_still_have_a_place_for_every_patch() -> None:
    volume, weight, bias, positions, _ = inputs()
    assert masked_patch_embed(volume[:0], weight, bias, positions, None, patch_size=PATCH).shape == (0, N, E)


def test_two_windows_are_channels_that_count_windows_first() -> None:
    """Each voxel by hand: -500 and 100 in channel 0, 300 and -2000 in channel 1, under [-1000, 1000] and [0, 400]."""
    volume = torch.tensor([[-500, 100], [300, -2000]], dtype=torch.int16).reshape(1, 2, 1, 1, 2)
    values = [-0.5, 0.1, 0.3, -1.0, -1.0, -0.5, 0.5, -1.0]
    weight = torch.eye(8).reshape(8, 4, 1, 1, 2)
    for windows in ([WINDOW, (0.0, 400.0)], (WINDOW, [0, 400])):
        tokens = masked_patch_embed(volume, weight, None, None, None, patch_size=(1, 1, 2), window=windows)
        torch.testing.assert_close(tokens, torch.tensor([[values]]))


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32])
def test_one_window_in_a_list_is_the_window(dtype: torch.dtype) -> None:
    _, weight, bias, positions, ids = inputs()
    volume = torch.randint(-3000, 3000, (2, 2, 8, 9, 10), dtype=torch.int16).to(dtype)
    plain = masked_patch_embed(volume, weight, bias, positions, ids, patch_size=PATCH, window=WINDOW)
    assert torch.equal(
        masked_patch_embed(volume, weight, bias, positions, ids, patch_size=PATCH, window=[WINDOW]), plain
    )


@pytest.mark.parametrize("ids", [None, torch.tensor([[1, 1, 0]])])
def test_gradcheck_under_two_windows(ids: Tensor | None) -> None:
    draw = torch.Generator().manual_seed(0)
    volume = torch.randn(1, 1, 2, 2, 4, generator=draw, dtype=torch.float64) * 500
    weight = torch.randn(3, 2, 2, 2, 2, generator=draw, dtype=torch.float64) * 10
    bias, positions = torch.randn(3, dtype=torch.float64), torch.randn(2, 3, dtype=torch.float64)

    def embed(*tensors: Tensor) -> Tensor:
        return masked_patch_embed(*tensors, ids, patch_size=(2, 2, 2), window=(WINDOW, (-150, 250)))  # type: ignore[call-arg]

    assert torch.autograd.gradcheck(
        embed, tuple(tensor.requires_grad_() for tensor in (volume, weight, bias, positions))
    )
