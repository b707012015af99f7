"""Patches that a mask touches, maps that point at them, and averages over findings."""

import math
from dataclasses import asdict

import pytest
import torch

from simcrop.core.errors import InputError
from simcrop.core.evaluation.grounding import (
    Pointing,
    comparable,
    patches_inside,
    point,
    similarity_maps,
    summarize,
    usual_places,
)

PATCH = (4, 3, 2)
SIZE = (12, 6, 8)
GRID = (3, 2, 4)
ALL = torch.ones(50, dtype=torch.bool)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (3, 2, 1), (4, 3, 2), (11, 5, 7), (7, 0, 5)])
def test_a_single_voxel_marks_exactly_its_patch(voxel: tuple[int, int, int]) -> None:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[voxel] = True
    h, w, d = (v // p for v, p in zip(voxel, PATCH, strict=True))
    expected = (h * GRID[1] + w) * GRID[2] + d
    assert patches_inside(mask, PATCH).nonzero().flatten().tolist() == [expected]


def test_a_box_across_patches_marks_every_patch_it_touches() -> None:
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[3:5, 2:4, 1:3] = True
    inside = patches_inside(mask, PATCH).reshape(GRID)
    assert inside[:2, :2, :2].all()
    assert int(inside.sum()) == 8


def test_mask_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="not divisible by patch_size"):
        patches_inside(torch.zeros(12, 7, 8, dtype=torch.bool), PATCH)


def test_similarity_is_the_cosine_whatever_the_lengths() -> None:
    sentences = torch.tensor([[3.0, 0.0], [0.0, 0.1]])
    patches = torch.tensor([[5.0, 0.0], [0.0, -2.0], [1.0, 1.0]])
    expected = torch.tensor([[1.0, 0.0, 0.5**0.5], [0.0, -1.0, 0.5**0.5]])
    torch.testing.assert_close(similarity_maps(sentences, patches), expected)


def test_point_tells_hit_chance_and_area() -> None:
    inside = torch.tensor([True, False, False, True])
    hit = point("Lung nodule", torch.tensor([0.9, 0.1, 0.5, 0.3]), inside, ALL[:4])
    assert hit == Pointing("Lung nodule", hit=True, chance=0.5, auc=0.75)
    miss = point("Lung nodule", torch.tensor([0.1, 0.9, 0.5, 0.3]), inside, ALL[:4])
    assert miss == Pointing("Lung nodule", hit=False, chance=0.5, auc=0.0)


@pytest.mark.parametrize("value", [True, False])
def test_masks_that_tell_nothing_are_left_out(value: bool) -> None:
    assert point("Emphysema", torch.rand(5), torch.full((5,), value), ALL[:5]) is None


def test_patches_that_cannot_be_chosen_are_neither_hit_nor_chance() -> None:
    inside = torch.tensor([True, False, False, True, False])
    similarity = torch.tensor([0.9, 0.5, 0.4, 0.45, -0.2])
    among = torch.tensor([False, True, True, True, False])
    assert point("Effusion", similarity, inside, among) == Pointing("Effusion", hit=False, chance=1 / 3, auc=0.5)
    assert point("Effusion", similarity, inside, ~inside) is None
    assert point("Effusion", similarity, inside, torch.zeros(5, dtype=torch.bool)) is None
    patches = torch.tensor([[[0.0, 0.0], [0.0, -1e-30]], [[2.0, 0.0], [0.0, 0.0]]])
    assert comparable(patches).tolist() == [[False, True], [True, False]]


def test_usual_places_are_those_of_the_other_patients() -> None:
    inside = torch.tensor([[True, False, False], [True, True, False], [False, True, False], [True, False, False]])
    first, same, third, _ = usual_places(["a", "a", "b", "c"], list(inside))
    for each in (first, same):
        assert each is not None
        assert each.tolist() == [0.5, 0.5, 0.0]
    assert third is not None
    assert third.tolist() == pytest.approx([1.0, 1 / 3, 0.0])
    assert usual_places(["a", "a"], list(inside[:2])) == [None, None]


def test_random_maps_hit_at_the_chance_rate() -> None:
    generator = torch.Generator().manual_seed(0)
    inside = torch.arange(50) < 10
    rows = [point("x", torch.rand(50, generator=generator), inside, ALL) for _ in range(2000)]
    result = summarize(["x"] * 2000, [asdict(row) for row in rows if row is not None], ("hit", "chance", "auc")).mean
    assert result["chance"] == pytest.approx(0.2)
    assert result["hit"] == pytest.approx(result["chance"], abs=0.03)
    assert result["auc"] == pytest.approx(0.5, abs=0.02)


def test_findings_weigh_the_same_however_often_they_occur() -> None:
    often = [{"hit_rate": 0.0, "chance": 0.1, "auc": 0.5}] * 9
    rare = [{"hit_rate": 1.0, "chance": 0.3, "auc": 0.7}]
    result = summarize([*"b" * 9, "a"], often + rare, ("hit_rate", "chance", "auc"))
    assert list(result.findings) == ["a", "b"]
    assert result.findings["b"]["num_sentences"] == 9
    assert result.mean == pytest.approx({"hit_rate": 0.5, "chance": 0.2, "auc": 0.6})


def test_nothing_to_ground_gives_nan() -> None:
    result = summarize([], [], ("auc",))
    assert result.findings == {}
    assert math.isnan(result.mean["auc"])


def test_who_reads_takes_the_places_of_the_same_words_and_else_of_all() -> None:
    inside = list(torch.eye(4, dtype=torch.bool))
    left, right, none = frozenset({"left"}), frozenset({"right"}), frozenset[str]()
    maps = usual_places(["a", "b", "c", "d"], inside, [left, left, right, none])
    third = pytest.approx(1 / 3)
    assert [None if each is None else each.tolist() for each in maps] == [
        [0.0, 1.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [third, third, 0.0, third],
        [third, third, third, 0.0],
    ]
    # The patient's own sentences tell nothing, whatever their words.
    [first, *_] = usual_places(["a", "a", "b"], inside[:3], [left, left, right])
    assert first is not None
    assert first.tolist() == [0.0, 0.0, 1.0, 0.0]
