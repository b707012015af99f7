"""Resampling: world coordinates are kept, values are trilinear, masks do not vanish."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.organ_data import AFFINES, RAS, SHAPE
from torch import Tensor

from simcrop.adapters.loading.resample import Grid, covering_grid, resample_mask, resample_volume
from simcrop.core.data.study import Volume


def _affine(spacing: tuple[float, float, float], degrees: float = 0.0) -> Tensor:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = [-37.0, 12.5, 400.0]
    return torch.from_numpy(affine)


def _world(affine: Tensor, size: tuple[int, ...]) -> Tensor:
    """[H, W, D, 3] coordinates of voxel centres, mm."""
    index = torch.stack(torch.meshgrid(*[torch.arange(n).double() for n in size], indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def _field(world: Tensor) -> Tensor:
    """A linear field in HU, which trilinear interpolation reproduces."""
    return world @ torch.tensor([2.0, -3.0, 1.5]).double()


def _linear_volume(affine: Tensor, shape: tuple[int, int, int]) -> Volume:
    centre = _field(_world(affine, shape)).mean()
    return Volume((_field(_world(affine, shape)) - centre).float(), affine)


@pytest.mark.parametrize("degrees", [0.0, 4.0])
def test_values_stay_where_they_are_in_the_world(degrees: float) -> None:
    volume = _linear_volume(_affine((1.7, 2.3, 4.0), degrees), (30, 24, 12))
    grid = Grid((2.5, 2.5, 3.0), (12, 12, 8))
    voxels, affine = resample_volume(volume, grid)
    offset = _field(_world(volume.affine, (30, 24, 12))).mean()
    inside = slice(2, -2)
    expected = (_field(_world(affine, grid.size)) - offset)[inside, inside, inside]
    assert (voxels[inside, inside, inside] - expected).abs().max() <= 0.5 + 1e-3
    assert voxels.dtype == torch.int16


def test_the_grid_is_axis_aligned_and_centred() -> None:
    volume = _linear_volume(_affine((1.7, 2.3, 4.0), 4.0), (30, 24, 12))
    grid = Grid((2.5, 2.5, 3.0), (7, 8, 9))
    affine = grid.affine_for(volume)
    np.testing.assert_allclose(affine[:3, :3], np.diag(grid.spacing_mm))
    np.testing.assert_allclose(
        _world(affine, grid.size).reshape(-1, 3).mean(0), _world(volume.affine, (30, 24, 12)).reshape(-1, 3).mean(0)
    )


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 12)] * 3),
    st.tuples(*[st.floats(0.5, 4)] * 3),
    st.tuples(*[st.integers(1, 12)] * 3),
    st.permutations(range(3)),
)
def test_aligned_and_oblique_ways_agree(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], size: tuple[int, int, int], order: list[int]
) -> None:
    draws = torch.Generator().manual_seed(0)
    voxels = torch.randint(-2000, 4000, shape, generator=draws, dtype=torch.int16)
    # The same voxels in another order in memory, as files have them.
    stored = voxels.permute(order).contiguous().permute(*np.argsort(order).tolist())
    grid = Grid((1.5, 2.0, 2.5), size)
    aligned, _ = resample_volume(Volume(stored, _affine(spacing)), grid)
    oblique, _ = resample_volume(Volume(stored, _affine(spacing, 1e-6)), grid)
    edge = (aligned == -1000) != (oblique == -1000)
    assert ((aligned.int() - oblique.int()).abs() <= 1)[~edge].all()
    assert aligned.is_contiguous()


@pytest.mark.parametrize("precision", [torch.float64, torch.float32])
def test_the_same_grid_returns_the_same_voxels_up_to_the_edge(precision: torch.dtype) -> None:
    # Spacings whose multiples are rounded in floating point, and once more where a file stores 32 bits.
    spacing = (0.9, 0.9, 1.1)
    voxels = torch.randint(-1024, 3071, (9, 9, 9), generator=torch.Generator().manual_seed(0), dtype=torch.int16)
    out, affine = resample_volume(Volume(voxels, _affine(spacing).to(precision)), Grid(spacing, (9, 9, 9)))
    assert torch.equal(out, voxels)
    np.testing.assert_allclose(affine, _affine(spacing), atol=1e-4)


def test_hu_are_clipped_before_they_are_mixed() -> None:
    voxels = torch.tensor([-8192, 0, 0, 30000], dtype=torch.int16)[:, None, None]
    out, _ = resample_volume(Volume(voxels, _affine((2.0, 1.0, 1.0))), Grid((1.0, 1.0, 1.0), (7, 1, 1)))
    assert out.flatten().tolist() == [-1024, -512, 0, 0, 0, 1536, 3071]


def test_outside_is_air() -> None:
    out, _ = resample_volume(
        Volume(torch.full((4, 4, 4), 50, dtype=torch.int16), _affine((1, 1, 1))), Grid((1, 1, 1), (8, 4, 2))
    )
    assert (out[2:6] == 50).all()
    assert (out[:2] == -1000).all()
    assert (out[6:] == -1000).all()


def _mask(shape: tuple[int, int, int], *boxes: tuple[slice, slice, slice]) -> Tensor:
    mask = torch.zeros(shape, dtype=torch.int16)
    for box in boxes:
        mask[box] = 1
    return mask


def test_a_mask_lands_where_its_volume_does() -> None:
    source = _affine((1.0, 1.0, 2.0), 3.0)
    inside = _mask((40, 36, 20), (slice(8, 20), slice(10, 30), slice(4, 12)))
    grid = Grid((2.0, 2.0, 3.0), (18, 16, 12))
    volume = Volume(inside * 1000, source)
    affine = grid.affine_for(volume)
    mask = resample_mask(Volume(inside, source), affine, grid.size)
    world = _world(affine, grid.size).reshape(-1, 3) - source[:3, 3]
    index = torch.round(world @ torch.linalg.inv(source[:3, :3]).T).long()
    within = ((index >= 0) & (index < torch.tensor(inside.shape))).all(1)
    x, y, z = torch.where(within[:, None], index, 0).T
    expected = ((inside[x, y, z] > 0) & within).reshape(grid.size)
    assert (mask != expected).float().mean() < 1e-3  # a tie between two neighbours may go either way
    assert mask.any()


@given(st.tuples(st.integers(0, 29), st.integers(0, 29), st.integers(0, 29)))
def test_a_single_voxel_never_vanishes(place: tuple[int, int, int]) -> None:
    source = _affine((0.7, 0.7, 0.7))
    volume = Volume(_mask((30, 30, 30), tuple(slice(p, p + 1) for p in place)), source)  # type: ignore[arg-type]
    grid = Grid((4.0, 4.0, 4.0), (8, 8, 8))
    affine = grid.affine_for(volume)
    mask = resample_mask(volume, affine, grid.size)
    (found,) = mask.nonzero().tolist()
    world = source[:3, :3] @ torch.tensor(place).double() + source[:3, 3]
    distance = (affine[:3, :3] @ torch.tensor(found).double() + affine[:3, 3] - world).abs()
    assert distance.max() <= 2.0 + 1e-6


def test_an_empty_mask_and_one_outside_the_grid_are_empty() -> None:
    affine = _affine((1, 1, 1))
    empty = Volume(_mask((4, 4, 4)), affine)
    assert not resample_mask(empty, affine, (4, 4, 4)).any()
    far = affine.clone()
    far[0, 3] += 100
    assert not resample_mask(Volume(_mask((4, 4, 4), (slice(4),) * 3), far), affine, (4, 4, 4)).any()  # type: ignore[arg-type]


@pytest.mark.parametrize(("have", "want"), [(512, 256), (300, 128), (41, 21)])
def test_the_outermost_planes_of_an_aligned_grid_are_not_taken_for_air(have: int, want: int) -> None:
    """Corner voxels lie on corner voxels; 511 / 255 has no end in decimals."""
    volume = Volume(torch.full((have, 3, 3), 40, dtype=torch.int16), torch.eye(4, dtype=torch.float64))
    voxels, _ = resample_volume(volume, Grid(((have - 1) / (want - 1), 1.0, 1.0), (want, 3, 3)))
    assert (voxels == 40).all()


@pytest.mark.parametrize("name", AFFINES)
def test_the_grid_covers_the_volume_and_no_more_than_it_has_to(name: str) -> None:
    affine = AFFINES[name]
    volume = Volume(torch.zeros(SHAPE), torch.from_numpy(affine))
    grid = covering_grid(volume, (2.0, 2.5, 4.0))
    corners = np.array([[x, y, z, 1] for x in (-0.5, 23.5) for y in (-0.5, 19.5) for z in (-0.5, 17.5)]) @ affine.T
    placed = np.linalg.inv(grid.affine_for(volume).numpy()) @ corners.T
    low, high = placed[:3].min(1), placed[:3].max(1)
    assert (low >= -0.5 - 1e-3).all()
    assert (high <= np.array(grid.size) - 0.5 + 1e-3).all()
    assert (high - low > np.array(grid.size) - 1).all()


def test_a_grid_of_the_same_voxels_is_no_larger_by_rounding() -> None:
    volume = Volume(torch.zeros(SHAPE), torch.from_numpy(RAS.astype(np.float32)))
    assert covering_grid(volume, (3.0, 3.0, 5.0)).size == SHAPE
