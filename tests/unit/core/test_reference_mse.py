"""The reference reconstruction error (docs/method.md, section 3)."""

import pytest
import torch
from torch import Tensor

from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.reference import masked_patch_mse

PATCH, WINDOW, N, P = (4, 3, 2), (-1000.0, 1000.0), 30, 48
IDS = torch.tensor([[29, 0, 7, 7], [3, 2, 1, 28]])


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Predictions, and a volume in HU on a grid of 2x3x5 with two channels."""
    draw = torch.Generator().manual_seed(5)
    volume = torch.randint(-1500, 1500, (2, 2, 8, 9, 10), generator=draw).to(dtype)
    return torch.randn(2, 4, P, generator=draw, dtype=dtype), volume


def target(volume: Tensor, ids: Tensor, *, normalized: bool) -> Tensor:
    """By torch's own mean and variance."""
    patches = patchify(apply_window(volume, WINDOW, torch.float64), PATCH)
    patches = torch.stack([rows[chosen] for rows, chosen in zip(patches, ids, strict=True)])
    mean, variance = patches.mean(2, keepdim=True), patches.var(2, keepdim=True, unbiased=True)
    return (patches - mean) / (variance + 1e-6).sqrt() if normalized else patches


@pytest.mark.parametrize("normalized", [False, True])
def test_it_is_the_mean_square_over_the_patches_named(normalized: bool) -> None:
    pred, volume = inputs()
    expected = (pred - target(volume, IDS, normalized=normalized)).square().mean()
    error = masked_patch_mse(pred, volume, IDS, patch_size=PATCH, window=WINDOW, normalize_patches=normalized)
    torch.testing.assert_close(error, expected, rtol=1e-12, atol=0)


def test_a_case_by_hand() -> None:
    volume = torch.tensor([0.0, 1.0, 5.0, 9.0]).reshape(1, 1, 1, 1, 4)
    pred, ids, size = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[1]]), (1, 1, 2)
    assert masked_patch_mse(pred, volume, ids, patch_size=size).item() == (16 + 64) / 2
    # Patch (5, 9): mean 7, unbiased variance 8, so the target is -2 / sqrt(8), 2 / sqrt(8).
    error = masked_patch_mse(pred, volume, ids, patch_size=size, normalize_patches=True).item()
    assert error == pytest.approx(((1 + 0.5**0.5) ** 2 + (1 - 0.5**0.5) ** 2) / 2, rel=1e-5)


@pytest.mark.parametrize("value", [-1000, 37, 999])
def test_a_constant_patch_has_a_target_of_exactly_zero(value: int) -> None:
    volume = torch.full((1, 2, 8, 9, 10), value, dtype=torch.int16)
    pred = torch.zeros(1, N, P)
    ids = torch.arange(N)[None]
    assert masked_patch_mse(pred, volume, ids, patch_size=PATCH, window=WINDOW, normalize_patches=True).item() == 0.0


def test_a_faint_texture_far_from_zero_keeps_its_variance() -> None:
    volume = torch.full((1, 2, 8, 9, 10), 4000.0)
    volume[..., ::2] += 2.0**-8
    pred = torch.zeros(1, N, P)
    error = masked_patch_mse(pred, volume, torch.arange(N)[None], patch_size=PATCH, normalize_patches=True)
    variance = (2.0**-9) ** 2 * P / (P - 1)
    assert error.item() == pytest.approx((2.0**-9) ** 2 / (variance + 1e-6), rel=1e-4)


def test_repeats_count_each_time() -> None:
    pred, volume = inputs()
    each = [
        masked_patch_mse(pred[:1, i : i + 1], volume[:1], IDS[:1, i : i + 1], patch_size=PATCH, window=WINDOW)
        for i in range(4)
    ]
    together = masked_patch_mse(pred[:1], volume[:1], IDS[:1], patch_size=PATCH, window=WINDOW)
    torch.testing.assert_close(together, torch.stack(each).mean())


def test_int16_equals_float_and_strides_do_not_matter() -> None:
    pred, volume = inputs(torch.float32)
    expected = masked_patch_mse(pred, volume, IDS, patch_size=PATCH, window=WINDOW)
    permuted = volume.short().permute(4, 2, 0, 3, 1).contiguous().permute(2, 4, 1, 3, 0)
    turned = pred.transpose(0, 2).contiguous().transpose(0, 2)
    assert not permuted.is_contiguous()
    error = masked_patch_mse(turned, permuted, IDS, patch_size=PATCH, window=WINDOW)
    torch.testing.assert_close(error, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("normalized", [False, True])
def test_gradcheck_and_a_target_without_gradient(normalized: bool) -> None:
    pred, volume = inputs()
    pred, volume = pred[:1, :, :].requires_grad_(), volume[:1].requires_grad_()

    def error(predicted: Tensor) -> Tensor:
        return masked_patch_mse(
            predicted, volume, IDS[:1], patch_size=PATCH, window=WINDOW, normalize_patches=normalized
        )

    assert torch.autograd.gradcheck(error, (pred,))
    assert torch.autograd.grad(error(pred), volume, allow_unused=True) == (None,)


def test_the_gradient_is_the_same_twice_over_one_graph() -> None:
    pred, volume = inputs()
    pred.requires_grad_()
    error = masked_patch_mse(pred, volume, IDS, patch_size=PATCH, window=WINDOW)
    first, second = (torch.autograd.grad(error, pred, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
    expected = 2 * (pred - target(volume, IDS, normalized=False)) / pred.numel()
    torch.testing.assert_close(first, expected.detach(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("shape", [(2, 0), (0, 4)])
def test_nothing_masked_gives_zero_still_connected(shape: tuple[int, int]) -> None:
    pred = torch.zeros(*shape, P, requires_grad=True)
    ids, volume = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape[0], 2, 8, 9, 10)
    error = masked_patch_mse(pred, volume, ids, patch_size=PATCH, normalize_patches=True)
    assert error.item() == 0.0
    error.backward()
    assert pred.grad is not None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_result_is_fp32_for_low_precision_predictions(dtype: torch.dtype) -> None:
    pred, volume = inputs(torch.float32)
    pred = pred.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = masked_patch_mse(pred, volume, IDS, patch_size=PATCH, window=WINDOW)
    assert error.dtype == torch.float32
    expected = (pred.double() - target(volume, IDS, normalized=False)).square().mean().float()
    torch.testing.assert_close(error, expected, rtol=1e-6, atol=0)
