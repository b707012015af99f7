"""Shapes on a grid: signed distances, soft edges, and what paint leaves behind."""

import numpy as np

from simcrop.adapters.sources.phantom.canvas import Canvas, smooth_field, union


def canvas(size: int = 11, step: float = 2.0) -> Canvas:
    axis = (step * (np.arange(size) - size // 2)).astype(np.float32)
    return Canvas(axis, axis, axis, (1.0, 2.0, 1.0), np.full((size,) * 3, -1000, dtype=np.float32))


def test_a_box_covers_its_corners_by_one_voxel_and_stays_on_the_grid() -> None:
    assert canvas().box((-3, 0, -99), (3, 4, 99)) == (slice(3, 8), slice(5, 8), slice(0, 11))
    assert canvas().around((0, 0, 0), 2.0) == (slice(4, 7),) * 3


def test_the_distance_of_a_tapered_tube_is_from_its_own_radius_there() -> None:
    made = canvas()
    box, distance = made.capsule((-4, 0, 0), (4, 0, 0), 4.0, 2.0)
    x, y, z = (axis.flatten() for axis in made.coordinates(box))
    at = {(i, j, k): distance[a, b, c] for a, i in enumerate(x) for b, j in enumerate(y) for c, k in enumerate(z)}
    assert (at[0, 0, 0], at[-4, 4, 0], at[4, 0, 2], at[0, 4, 0]) == (-3.0, 0.0, 0.0, 1.0)


def test_an_ellipsoid_is_zero_on_its_rim_and_minus_its_smallest_half_axis_inside() -> None:
    made = canvas()
    box, distance = made.ellipsoid((0, 0, 0), (6, 4, 2))
    middle = tuple((part.stop - part.start) // 2 for part in box)
    assert distance[middle] == -2.0
    assert distance[middle[0] + 3, middle[1], middle[2]] == distance[middle[0], middle[1] + 2, middle[2]] == 0.0


def test_paint_mixes_by_weight_and_an_edge_is_half_inside() -> None:
    made, box = canvas(), (slice(0, 3), slice(0, 1), slice(0, 1))
    weight = made.soft(np.array([-5.0, 0.0, 5.0], dtype=np.float32).reshape(3, 1, 1))
    made.paint(box, weight, 1000.0)
    assert made.hu[:4, 0, 0].tolist() == [1000.0, 0.0, -1000.0, -1000.0]
    assert union(made, [(box, weight), (box, weight / 2)])[:3, 0, 0].tolist() == [1.0, 0.5, 0.0]


def test_lengths_in_mm_follow_the_scale_of_each_axis() -> None:
    assert canvas().millimetres(8.0).tolist() == [8.0, 4.0, 8.0]


def test_a_random_field_is_the_same_at_the_same_place_on_any_grid() -> None:
    fine, coarse = canvas(21, 1.0), canvas(11, 2.0)
    fields = [smooth_field(made, made.whole(), np.random.default_rng(3), 12.0) for made in (fine, coarse)]
    np.testing.assert_allclose(fields[0][::2, ::2, ::2], fields[1], atol=1e-5)
    assert fields[0].std() > 0.3
