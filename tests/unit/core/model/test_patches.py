"""Patches: their order, their values, their window."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop.core.errors import InputError
from simcrop.core.model.patches import (
    apply_window,
    gather_patches,
    holds_tissue,
    patch_grid,
    patch_view,
    patchify,
    unpatchify,
)

SIZES = st.tuples(*[st.integers(1, 3)] * 3)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), SIZES, SIZES)
def test_unpatchify_is_the_inverse(
    num_studies: int, channels: int, grid: tuple[int, int, int], patch_size: tuple[int, int, int]
) -> None:
    gh, gw, gd = grid
    size = (gh * patch_size[0], gw * patch_size[1], gd * patch_size[2])
    volume = torch.arange(num_studies * channels * size[0] * size[1] * size[2]).reshape(num_studies, channels, *size)
    patches = patchify(volume, patch_size)
    assert patches.shape == (num_studies, gh * gw * gd, channels * patch_size[0] * patch_size[1] * patch_size[2])
    assert torch.equal(unpatchify(patches, patch_size, size), volume)


def test_one_voxel_lands_where_the_formula_says() -> None:
    channels, (gh, gw, gd), (ph, pw, pd) = 2, (2, 3, 5), (4, 3, 2)
    volume = torch.zeros(1, channels, gh * ph, gw * pw, gd * pd)
    (c, h, w, d), (p, q, r) = (1, 1, 2, 3), (2, 1, 1)
    volume[0, c, h * ph + p, w * pw + q, d * pd + r] = 1
    token, value = (h * gw + w) * gd + d, ((c * ph + p) * pw + q) * pd + r
    assert patchify(volume, (ph, pw, pd)).nonzero().tolist() == [[0, token, value]]


def test_gathered_patches_are_the_rows_in_the_order_asked_for() -> None:
    volume = torch.randn(1, 2, 8, 9, 10)
    view, rows = patch_view(volume, (4, 3, 2)), patchify(volume, (4, 3, 2))[0]
    ids = torch.tensor([29, 0, 7, 7, 16])
    assert torch.equal(gather_patches(view[0], ids), rows[ids])
    assert torch.equal(gather_patches(view[0], None), rows)


def test_the_view_copies_nothing_whatever_the_strides() -> None:
    volume = torch.randn(1, 10, 9, 8, 2).permute(0, 4, 3, 2, 1)
    view = patch_view(volume, (4, 3, 2))
    assert view.data_ptr() == volume.data_ptr()
    assert torch.equal(patchify(volume, (4, 3, 2)), patchify(volume.contiguous(), (4, 3, 2)))


def test_the_window_maps_and_clips() -> None:
    values = torch.tensor([-2000, -1000, -500, 0, 250, 1000, 3000], dtype=torch.int16)
    expected = torch.tensor([-1.0, -1.0, -0.5, 0.0, 0.25, 1.0, 1.0])
    torch.testing.assert_close(apply_window(values, (-1000.0, 1000.0)), expected)
    torch.testing.assert_close(apply_window(torch.tensor([40.0]), (-160.0, 240.0)), torch.zeros(1))


def test_without_a_window_values_are_only_converted() -> None:
    converted = apply_window(torch.tensor([-2000, 3000], dtype=torch.int16), None, torch.float64)
    assert converted.dtype == torch.float64
    assert converted.tolist() == [-2000.0, 3000.0]


def test_a_volume_that_the_patch_does_not_divide_is_refused() -> None:
    with pytest.raises(InputError, match=r"volume: 9 voxels on axis 1 are not divisible by patch_size 2"):
        patch_grid((8, 9, 10), (4, 2, 2))
    with pytest.raises(InputError, match=r"axis 2 are not divisible by patch_size 0"):
        patch_grid((8, 9, 10), (4, 3, 0))


def test_a_volume_without_a_batch_axis_is_refused() -> None:
    with pytest.raises(InputError, match=r"volume: expected \[B, C, H, W, D\], got a shape of 4 axes"):
        patchify(torch.zeros(1, 8, 9, 10), (4, 3, 2))


def test_lung_is_tissue_and_the_air_around_a_patient_is_not() -> None:
    volume = torch.full((2, 1, 4, 4, 4), -1000, dtype=torch.int16)
    volume[0, 0, :2] = -870  # lung in patches 0..3
    volume[1, 0, 2:, 2:, 2:] = 300  # bone in patch 7
    volume[1, 0, 0, 0, 0] = -700  # a speck in patch 0 leaves it air
    found = holds_tissue(volume, None, (2, 2, 2), (-1000.0, 1000.0))
    assert found.tolist() == [[True] * 4 + [False] * 4, [False] * 7 + [True]]
    some = holds_tissue(volume, torch.tensor([[5, 1], [7, 0]]), (2, 2, 2), (-1000.0, 1000.0))
    assert some.tolist() == [[False, True], [True, False]]
