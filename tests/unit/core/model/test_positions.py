"""Position tables against entries worked out by hand."""

import math

import pytest
import torch

from simcrop.core.errors import ConfigError
from simcrop.core.model.positions import position_table


def row(table: torch.Tensor, grid: tuple[int, int, int], place: tuple[int, int, int]) -> list[float]:
    """The channels of the patch at (h, w, d)."""
    return table[0, 1 + (place[0] * grid[1] + place[1]) * grid[2] + place[2]].tolist()


def test_sincos3d_encodes_the_three_axes_in_turn() -> None:
    grid, (h, w, d) = (3, 4, 5), (2, 3, 4)
    table = position_table("sincos3d", grid, 14)
    # floor(14 / 6) = 2 frequencies: 10000^0 = 1 and 10000^(-1/2) = 0.01; two channels are left over.
    expected = [
        function(place * omega) for place in (h, w, d) for function in (math.sin, math.cos) for omega in (1.0, 0.01)
    ]
    assert table.shape == (1, 61, 14)
    assert row(table, grid, (h, w, d)) == pytest.approx([*expected, 0.0, 0.0], abs=1e-7)


def test_sincos3d_of_the_first_patch_is_zeros_and_ones() -> None:
    assert row(position_table("sincos3d", (2, 2, 2), 6), (2, 2, 2), (0, 0, 0)) == [0, 1, 0, 1, 0, 1]


def test_sincos_hw_alternates_h_and_w_and_leaves_depth_out() -> None:
    grid, (h, w) = (3, 4, 5), (2, 3)
    table = position_table("sincos_hw", grid, 4)
    # omega_0 = 1, omega_1 = 10000^(-2/4) = 0.01
    expected = [math.sin(h), math.cos(w), math.sin(h * 0.01), math.cos(w * 0.01)]
    for d in range(5):
        assert row(table, grid, (h, w, d)) == pytest.approx(expected, abs=1e-7)


def test_only_sincos3d_tells_all_patches_of_the_paper_apart() -> None:
    grid = (14, 14, 14)
    flat, deep = (position_table(kind, grid, 768)[0, 1:] for kind in ("sincos_hw", "sincos3d"))
    assert len(flat.unique(dim=0)) == 196
    assert len(deep.unique(dim=0)) == 2744


@pytest.mark.parametrize("kind", ["sincos3d", "sincos_hw"])
def test_the_class_tokens_row_is_zero(kind: str) -> None:
    table = position_table(kind, (2, 3, 5), 12)  # type: ignore[arg-type]
    assert table.dtype == torch.float32
    assert not table[0, 0].any()
    assert table[0, 1:].any(1).all()


def test_widths_that_do_not_suit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"sincos_hw needs an even width, not 7"):
        position_table("sincos_hw", (2, 2, 2), 7)
    with pytest.raises(ConfigError, match=r"sincos3d needs a width of at least 6, not 5"):
        position_table("sincos3d", (2, 2, 2), 5)
