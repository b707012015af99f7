"""Maps cut at thresholds, against MONAI and scikit-learn, and thresholds that are chosen honestly."""

import math

import pytest
import torch
from monai.metrics import compute_dice, compute_iou
from sklearn.metrics import jaccard_score

from simcrop.core.errors import InputError
from simcrop.core.evaluation.map_overlap import Overlap, at_others_best, at_own_best, overlap, voxel_map

THRESHOLDS = torch.linspace(-1, 1, 41, dtype=torch.float64)


def test_dice_and_iou_are_those_of_monai_and_scikit_learn_at_every_threshold() -> None:
    generator = torch.Generator().manual_seed(0)
    similarity = 2 * torch.rand(7, 6, 5, generator=generator) - 1
    mask = torch.rand(7, 6, 5, generator=generator) < 0.2
    found = overlap(similarity, mask, THRESHOLDS)
    for index, threshold in enumerate(THRESHOLDS.tolist()):
        marked = similarity >= threshold
        pair = (marked[None, None].float(), mask[None, None].float())
        assert float(found.dice[index]) == pytest.approx(float(compute_dice(*pair, include_background=True)))
        assert float(found.iou[index]) == pytest.approx(float(compute_iou(*pair, include_background=True)))
        expected = jaccard_score(mask.flatten().numpy(), marked.flatten().numpy())
        assert float(found.iou[index]) == pytest.approx(expected)


def test_a_voxel_at_the_threshold_is_marked() -> None:
    found = overlap(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([False, True, True]), torch.tensor([-1.0, 0.0, 1.0]))
    assert found.iou.tolist() == pytest.approx([2 / 3, 1.0, 0.5])
    assert found.dice.tolist() == pytest.approx([0.8, 1.0, 2 / 3])


def test_chance_is_the_whole_volume_marked_and_no_blind_map_beats_it() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.zeros(1000, dtype=torch.bool)
    mask[:100] = True
    rows = [overlap(2 * torch.rand(1000, generator=generator) - 1, mask, THRESHOLDS) for _ in range(50)]
    assert (rows[0].iou_whole, rows[0].dice_whole) == (0.1, pytest.approx(2 / 11))
    assert float(rows[0].iou[0]) == 0.1
    for name, whole in (("iou", 0.1), ("dice", 2 / 11)):
        best = torch.stack([getattr(row, name) for row in rows]).mean(0).max()
        assert float(best) <= whole + 1e-3


def test_masks_that_do_not_fit_are_refused() -> None:
    for mask in (torch.zeros(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool)):
        with pytest.raises(InputError, match=r"mask: expected one of shape \(3,\) with something inside"):
            overlap(torch.zeros(3), mask, THRESHOLDS)


def curve(*dice: float) -> Overlap:
    values = torch.tensor(dice, dtype=torch.float64)
    return Overlap(values / 2, values, 0.1, 0.2)


LEVELS = torch.tensor([-0.5, 0.0, 0.5], dtype=torch.float64)


def test_each_half_is_cut_where_the_other_half_is_best() -> None:
    rows = [curve(0.9, 0.1, 0.2), curve(0.8, 0.1, 0.3), curve(0.0, 0.4, 0.7), curve(0.1, 0.6, 0.5)]
    found = at_others_best(rows, LEVELS, [0, 0, 1, 1])
    # The first two are best at -0.5 and the others, whose means are .05, .5 and .6, at 0.5.
    assert [each.threshold for each in found] == [0.5, 0.5, -0.5, -0.5]
    assert [each.dice for each in found] == pytest.approx([0.2, 0.3, 0.0, 0.1])
    assert [each.iou for each in found] == pytest.approx([0.1, 0.15, 0.0, 0.05])


def test_the_best_threshold_on_the_same_data_is_never_worse_in_the_mean() -> None:
    generator = torch.Generator().manual_seed(3)
    rows = [curve(*torch.rand(3, generator=generator).tolist()) for _ in range(9)]
    own = at_own_best(rows, LEVELS)
    assert len({each.threshold for each in own}) == 1
    honest = at_others_best(rows, LEVELS, [index % 2 for index in range(9)])
    assert sum(each.dice for each in own) >= sum(each.dice for each in honest)


def test_a_finding_of_one_half_alone_has_no_threshold() -> None:
    assert all(math.isnan(each.dice) for each in at_others_best([curve(0.1, 0.2, 0.3)] * 2, LEVELS, [1, 1]))


def test_the_map_on_voxels_is_exact_at_the_centres_of_patches_and_linear_between() -> None:
    grid, patch = (3, 2, 2), (3, 5, 1)
    similarity = torch.arange(12.0)
    voxels = voxel_map(similarity, grid, patch)
    assert voxels.shape == (9, 10, 2)
    torch.testing.assert_close(voxels[1::3, 2::5, :], similarity.reshape(grid))
    torch.testing.assert_close(voxels[1:5, 2, 0], torch.tensor([0.0, 4 / 3, 8 / 3, 4.0]))
    torch.testing.assert_close(voxels[0, 2, 0], voxels[1, 2, 0])  # beyond the outermost centre its value goes on
