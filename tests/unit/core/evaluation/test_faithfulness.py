"""Erased findings and swapped sides, each by numbers worked out by hand."""

import math

import pytest
import torch

from simcrop.core.evaluation.faithfulness import (
    Erasure,
    SideReading,
    erasures,
    named_side,
    side_reading,
    spread_over_volumes,
    with_sides_swapped,
)

# Sentence 0 lies in patch 0, sentence 1 in patches 0 and 1, sentence 2 in patch 2.
INSIDE = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 1]]).bool()


def test_a_score_falls_in_units_of_its_spread_and_more_than_by_findings_elsewhere() -> None:
    scores = torch.tensor([0.5, 0.5, 0.5])
    without = torch.tensor([[0.25, 0.0, 0.375], [0.5, 0.5, 0.25], [0.5, 0.25, 0.625]])
    spread = torch.tensor([0.125, 0.125, 0.25])
    found = erasures(scores, without, INSIDE, spread)
    # 0 falls by .25, and by .125 without 2: sentence 1 shares a patch, so that its .5 does not count.
    assert found[0] == Erasure(fall=2.0, falls=1.0, specific=1.0)
    # 1 does not change, and falls by .25 without 2.
    assert found[1] == Erasure(fall=0.0, falls=0.5, specific=0.0)
    # 2 rises by .125; it does not change without 0, and falls by .25 without 1.
    assert found[2] == Erasure(fall=-0.5, falls=0.0, specific=0.0)


def test_equal_falls_count_one_half_and_several_findings_elsewhere_are_averaged() -> None:
    scores = torch.tensor([0.5, 0.5, 0.5])
    without = torch.tensor([[0.25, 0.25, 0.375], [0.5, 0.25, 0.5], [0.5, 0.5, 0.5]])
    found = erasures(scores, without, torch.eye(3).bool(), torch.ones(3))
    assert [each.specific for each in found] == [0.75, 1.0, 0.5]


def test_what_cannot_be_measured_is_nan() -> None:
    alone = erasures(torch.tensor([0.5]), torch.tensor([[0.25]]), torch.ones(1, 1).bool(), torch.zeros(1))
    assert (alone[0].falls, math.isnan(alone[0].fall), math.isnan(alone[0].specific)) == (1.0, True, True)
    assert bool(spread_over_volumes([torch.ones(1, 2)]).isnan().all())


def test_the_spread_is_that_of_all_parts_together() -> None:
    spread = spread_over_volumes([torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0], [4.0, 1.0]])])
    assert spread.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("text", "side", "swapped"),
    [
        ("A nodule in the left lung.", "left", "A nodule in the right lung."),
        ("Right-sided effusion, RIGHT lower lobe.", "right", "Left-sided effusion, LEFT lower lobe."),
        ("A pacemaker on the left, its lead in the right ventricle.", None, None),
        ("The fluid is leftover and upright.", None, None),
        ("Cardiomegaly.", None, None),
    ],
)
def test_a_sentence_names_one_side_by_a_whole_word(text: str, side: str | None, swapped: str | None) -> None:
    assert named_side(text) == side
    if swapped is not None:
        assert with_sides_swapped(text) == swapped
        assert with_sides_swapped(swapped) == text


GRID = (2, 1, 2)
"""Patches 0 and 1 lie on the left, 2 and 3 on the right."""
ALL = torch.ones(4).bool()


def test_a_map_follows_where_it_lies_further_to_the_named_side_than_the_swapped_one() -> None:
    # Means of the halves: own .5 and .25, swapped .25 and .125.
    own, swapped = torch.tensor([0.75, 0.25, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.25, 0.0])
    assert side_reading("left", own, swapped, ALL, GRID) == SideReading(follows=1.0, right=1.0)
    assert side_reading("right", own, swapped, ALL, GRID) == SideReading(follows=0.0, right=0.0)
    assert side_reading("left", swapped, own, ALL, GRID) == SideReading(follows=0.0, right=1.0)
    assert side_reading("right", own, own, ALL, GRID) == SideReading(follows=0.5, right=0.0)


def test_patches_of_air_and_the_middle_of_an_odd_grid_belong_to_no_side() -> None:
    own, swapped = torch.tensor([0.75, 0.25, 0.5, 0.0]), torch.tensor([0.5, 0.0, 0.25, 0.0])
    among = torch.tensor([False, True, True, False])
    # Left of patch 1 and 2 alone: own .25 - .5, swapped 0 - .25: equally far.
    assert side_reading("left", own, swapped, among, GRID) == SideReading(follows=0.5, right=0.0)
    assert side_reading("left", own, swapped, torch.tensor([True, True, False, False]), GRID) is None
    odd, zeros = torch.tensor([0.25, 1.0, 0.125]), torch.zeros(3)
    assert side_reading("left", odd, zeros, torch.ones(3).bool(), (3, 1, 1)) == SideReading(follows=1.0, right=1.0)
