"""The kernel that gathers patches into rows, against plain torch."""

import pytest
import torch
from support.kernel_inputs import HU, Draw
from support.parity import DEVICE, FLOATS, poisoned
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.ops import PatchSize, Window
from simcrop.kernels.patch_gather import gather_patches

FIVE = (HU, (-160.0, 240.0), (-1350.0, 150.0), (-500.0, 1300.0), (0.0, 80.0))
SIZE, PATCH = (8, 9, 20), (4, 3, 10)


def expected(
    volume: Tensor, ids: Tensor | None, patch_size: PatchSize, windows: tuple[Window, ...], dtype: torch.dtype
) -> Tensor:
    """Every patch of every window, then those asked for."""
    rows = torch.cat([apply_window(patchify(volume, patch_size), window) for window in windows or (None,)], 2)
    study = torch.arange(len(volume), device=volume.device)[:, None]
    return (rows if ids is None else rows[study, ids]).flatten(0, 1).to(dtype)


@pytest.mark.parametrize("windows", [(), FIVE[:1], FIVE[:2], FIVE])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("volume_dtype", [torch.int16, torch.float32])
def test_any_number_of_windows(volume_dtype: torch.dtype, dtype: torch.dtype, windows: tuple[Window, ...]) -> None:
    draw = Draw()
    volume, ids = draw.volume(2, 2, *SIZE, dtype=volume_dtype).to(DEVICE), draw.whole(12, 2, 17).to(DEVICE)
    for wanted in (ids, None):
        with poisoned():
            rows = gather_patches(volume, wanted, patch_size=PATCH, windows=windows, dtype=dtype)
        torch.testing.assert_close(rows, expected(volume, wanted, PATCH, windows, dtype))


@pytest.mark.parametrize(("size", "patch"), [((32, 16, 24), (16, 16, 12)), ((4, 2, 6), (2, 1, 3))])
def test_patches_larger_and_smaller_than_a_block(size: PatchSize, patch: PatchSize) -> None:
    """The first fills a block and half of another; of the second, many fit into one, and the last is not full."""
    volume = Draw().volume(3, 1, *size, dtype=torch.int16).to(DEVICE)
    with poisoned():
        rows = gather_patches(volume, None, patch_size=patch, windows=FIVE[:2], dtype=torch.float32)
    torch.testing.assert_close(rows, expected(volume, None, patch, FIVE[:2], torch.float32))


def test_any_strides() -> None:
    larger = Draw().normal(4, 3, 12, 30, 14).permute(0, 1, 2, 4, 3).to(DEVICE)
    volume = larger[1:3, 1:, 3:11, 2:11, 5:25]
    assert not volume.is_contiguous()
    rows = gather_patches(volume, None, patch_size=PATCH, dtype=torch.float32)
    torch.testing.assert_close(rows, expected(volume, None, PATCH, (), torch.float32))


def test_rows_of_ids_that_name_no_patch_are_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, where nobody waits to look at the ids first; on a CPU they are refused."""
    volume = torch.zeros(1, 1, *SIZE, dtype=torch.int16, device=DEVICE)
    ids = torch.tensor([[3, -1, 12, 0]], device=DEVICE)
    if DEVICE.type == "cpu":
        with pytest.raises(InputError, match=r"ids_keep: values .* are outside 0..11"):
            gather_patches(volume, ids, patch_size=PATCH, windows=[HU], dtype=torch.float32)
    monkeypatch.setattr("simcrop.kernels.volumes.checks_ids", lambda device: False)
    rows = gather_patches(volume, ids, patch_size=PATCH, windows=[HU], dtype=torch.float32)
    assert rows.isnan().all(1).tolist() == [False, True, True, False]
    assert not rows[[0, 3]].isnan().any()


@pytest.mark.parametrize("windows", [(), ((-1.0, 1.0), (-0.5, 2.0))])
def test_the_gradient_of_a_volume(windows: tuple[Window, ...]) -> None:
    """Inside each window's bounds, and at them; a repeated id counts each time."""
    draw = Draw()
    volume, ids = draw.normal(2, 1, *SIZE).to(DEVICE), draw.whole(12, 2, 7).to(DEVICE)
    volume[0, 0, 0, 0, :4] = torch.tensor([-1.0, 1.0, 2.0, 5.0])
    ids[0, :2] = 0
    ours, wanted = volume.clone().requires_grad_(), volume.clone().requires_grad_()
    rows = gather_patches(ours, ids, patch_size=PATCH, windows=windows, dtype=torch.float32)
    upstream = draw.normal(*rows.shape).to(DEVICE)
    rows.backward(upstream)
    expected(wanted, ids, PATCH, windows, torch.float32).backward(upstream)
    torch.testing.assert_close(ours.grad, wanted.grad)


@pytest.mark.parametrize("shape", [(0, 1, *SIZE), (2, 0, *SIZE)])
def test_nothing_to_gather(shape: tuple[int, ...]) -> None:
    rows = gather_patches(torch.zeros(shape, device=DEVICE), None, patch_size=PATCH, dtype=torch.float32)
    assert rows.shape == (12 * shape[0], 120 * shape[1])


def test_opcheck() -> None:
    volume = Draw().normal(2, 1, *SIZE).to(DEVICE).requires_grad_()
    ids = Draw(1).whole(12, 2, 7).to(DEVICE)
    arguments = (volume, ids, list(PATCH), [-1.0, 1.0, -2.0, 0.5], torch.float32)
    torch.library.opcheck(torch.ops.simcrop.gather_patches.default, arguments)


def test_float64_is_refused() -> None:
    with pytest.raises(InputError, match="patches: float64 has no kernel"):
        gather_patches(torch.zeros(1, 1, *SIZE, device=DEVICE), None, patch_size=PATCH, dtype=torch.float64)
