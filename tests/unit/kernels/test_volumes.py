"""Addresses of patches in volumes of any strides, and windows, as the kernels are given them."""

import pytest
import torch
from support.parity import DEVICE

from simcrop.core.errors import InputError
from simcrop.kernels.volumes import first_voxels, patch_arguments, window_arguments

PATCH = (4, 3, 2)


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 0, 3, 1)])
def test_each_patch_begins_where_its_first_voxel_lies(order: tuple[int, ...]) -> None:
    volume = torch.arange(2 * 1 * 8 * 9 * 10, device=DEVICE).reshape(2, 1, 8, 9, 10)
    volume = volume.permute(order).contiguous().permute([order.index(axis) for axis in range(5)])
    storage = volume.as_strided((volume.numel(),), (1,))
    first, _ = first_voxels(volume, None, PATCH)
    assert torch.equal(storage[first], volume[:, 0, ::4, ::3, ::2].flatten())


def test_an_id_that_names_no_patch_has_no_place() -> None:
    volume = torch.zeros(2, 1, 8, 9, 10, device=DEVICE)
    ids = torch.tensor([[29, 30], [-1, 0]], device=DEVICE)
    assert first_voxels(volume, ids, PATCH)[0].tolist() == [4 * 90 + 6 * 10 + 8, -1, -1, 720]


@pytest.mark.parametrize(("patch_depth", "power"), [(16, 16), (12, 4), (5, 1)])
def test_the_power_of_two_is_the_largest_that_divides_every_first_voxel(patch_depth: int, power: int) -> None:
    first, found = first_voxels(torch.zeros(2, 1, 8, 8, 2 * patch_depth, device=DEVICE), None, (8, 8, patch_depth))
    assert found == power
    assert not (first % found).any()


def test_a_window_is_a_low_end_and_a_slope() -> None:
    assert window_arguments((-1000.0, 600.0)) == {"low": -1000.0, "slope": 2 / 1600, "HAS_WINDOW": True}
    assert not window_arguments(None)["HAS_WINDOW"]


def test_strides_and_sizes_are_handed_over_and_a_patch_wider_than_32_bits_is_refused() -> None:
    volume = torch.zeros(1, 2, 8, 9, 10)
    strides = {"stride_c": 720, "stride_h": 90, "stride_w": 10, "stride_d": 1}
    assert patch_arguments(volume, PATCH) == {**strides, "PH": 4, "PW": 3, "PD": 2}
    wide = torch.empty(1, device="meta").as_strided((1, 1, 4, 3, 2), (1, 1, 2**30, 1, 1))
    with pytest.raises(InputError, match=r"put a patch's voxels more than 2\*\*31 apart; copy it first"):
        patch_arguments(wide, PATCH)


def test_more_patches_than_31_bits_count_are_refused() -> None:
    many = torch.empty(1, device="meta").expand(2**29, 1, 8, 3, 4)
    with pytest.raises(InputError, match=r"volume: 2147483648 patches in one call, .*; split the batch"):
        first_voxels(many, None, PATCH)
