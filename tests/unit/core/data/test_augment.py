"""Boxes, scales, flips and shifts of training volumes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.boxes import apply_augmentation
from torch import Tensor

from simcrop.core.data.augment import AIR_HU, Augmentation, Augmenter, augment_box, crop, crop_centre, cut_box
from simcrop.core.recipe import AugmentRecipe, ModelRecipe

HAVE, WANT = (12, 10, 8), (8, 8, 4)
SIZES = st.tuples(*[st.integers(1, 6)] * 3)


def _voxels(size: tuple[int, int, int] = HAVE) -> Tensor:
    return torch.arange(size[0] * size[1] * size[2], dtype=torch.int16).reshape(size)


def _draw(recipe: AugmentRecipe, study: int = 0, want: tuple[int, int, int] = WANT) -> Augmentation:
    return Augmenter(recipe, ModelRecipe(volume_size=want, patch_size=(1, 1, 1)), seed=0).draw(HAVE, "test", study)


@given(SIZES, st.tuples(*[st.integers(-7, 7)] * 3), SIZES)
def test_crop_is_the_box_with_air_around(have: tuple[int, int, int], start: tuple[int, int, int], want: tuple) -> None:
    voxels = _voxels(have)
    far = np.pad(voxels.numpy(), 20, constant_values=AIR_HU)
    expected = far[tuple(slice(20 + first, 20 + first + n) for first, n in zip(start, want, strict=True))]
    np.testing.assert_array_equal(crop(voxels, start, want).numpy(), expected)


@given(SIZES, SIZES)
def test_reflected_crop_is_numpys(have: tuple[int, int, int], want: tuple[int, int, int]) -> None:
    voxels = _voxels(have)
    expected = np.pad(voxels.numpy(), 8, mode="reflect")[tuple(slice(8 - 3, 8 - 3 + n) for n in want)]
    np.testing.assert_array_equal(crop(voxels, (-3, -3, -3), want, pad="reflect").numpy(), expected)


@given(SIZES, st.tuples(*[st.integers(-7, 7)] * 3), SIZES, st.sampled_from(["air", "reflect"]))
def test_a_box_asks_for_voxels_inside_the_volume_alone(have: tuple, start: tuple, want: tuple, pad: str) -> None:
    voxels, asked = _voxels(have), []

    def copy_part(part: tuple[slice, ...], into: Tensor) -> None:
        asked.append(part)
        assert all(0 <= axis.start < axis.stop <= length for axis, length in zip(part, have, strict=True))
        into.copy_(voxels[part])

    box = torch.empty(want, dtype=torch.int16)
    cut_box(copy_part, have, start, box, pad=pad)
    assert torch.equal(box, crop(voxels, start, want, pad=pad))
    assert len(asked) <= 1


@given(
    SIZES,
    SIZES,
    st.tuples(st.floats(0.3, 1.0), st.floats(1.0, 1.9)),
    st.sampled_from(["air", "reflect"]),
    st.booleans(),
    st.integers(0, 99),
)
def test_boxes_of_any_recipe_fit_and_are_those_of_the_volume(
    have: tuple, want: tuple, scale: tuple[float, float], pad: str, crops: bool, study: int
) -> None:
    recipe = AugmentRecipe(crop=crops, scale=scale, flip=0.5, pad=pad, shift_probability=0.5)  # type: ignore[arg-type]
    augmenter = Augmenter(recipe, ModelRecipe(volume_size=want, patch_size=(1, 1, 1), mask_ratio=0.0), seed=0)
    drawn, voxels = augmenter.draw(have, study), _voxels(have)
    box = torch.empty(drawn.size, dtype=torch.int16)
    assert box.numel() <= augmenter.largest_box
    cut_box(lambda part, into: into.copy_(voxels[part]), have, drawn.start, box, pad=drawn.pad)
    assert torch.equal(augment_box(box, drawn), apply_augmentation(voxels, drawn))


CUT = AugmentRecipe(scale=(0.8, 1.0), scaling="cut")


@given(SIZES, SIZES, st.tuples(st.floats(0.3, 0.9), st.floats(0.9, 1.0)), st.booleans(), st.integers(0, 99))
def test_a_cut_is_a_box_of_a_part_with_mirrored_voxels_around_and_no_new_values(
    have: tuple, want: tuple, scale: tuple[float, float], crops: bool, study: int
) -> None:
    recipe = AugmentRecipe(crop=crops, scale=scale, scaling="cut", shift_probability=0.0)
    augmenter = Augmenter(recipe, ModelRecipe(volume_size=want, patch_size=(1, 1, 1), mask_ratio=0.0), seed=0)
    drawn, voxels = augmenter.draw(have, study), _voxels(have)
    ends = [first + size for first, size in zip(drawn.start, drawn.size, strict=True)]
    assert all(first >= 0 and end <= n for first, end, n in zip(drawn.start, ends, have, strict=True))
    box = crop(voxels, drawn.start, drawn.size)
    assert box.numel() <= augmenter.largest_box
    found = augment_box(box, drawn)
    before = [(n - size) // 2 for n, size in zip(want, drawn.size, strict=True)]
    around = [(b, n - size - b) for b, n, size in zip(before, want, drawn.size, strict=True)]
    np.testing.assert_array_equal(found.numpy(), np.pad(box.numpy(), around, mode="reflect"))


def test_the_part_of_a_cut_has_any_length_of_its_range_on_each_axis_by_itself() -> None:
    have, want = (20, 20, 20), (20, 20, 20)  # no box is smaller than its part
    augmenter = Augmenter(CUT, ModelRecipe(volume_size=want, patch_size=(1, 1, 1)), seed=0)
    sizes = torch.tensor([augmenter.draw(have, study).size for study in range(1000)])
    for axis in range(3):
        lengths, counts = sizes[:, axis].unique(return_counts=True)
        assert lengths.tolist() == [16, 17, 18, 19, 20]
        assert counts.min() > 150  # 200 expected, standard deviation 13
    assert 0.1 < (sizes[:, 0] == sizes[:, 1]).double().mean() < 0.3


def test_a_cut_reaches_every_place_and_moves_no_other_draw() -> None:
    starts = torch.tensor([_draw(CUT, study, (4, 4, 4)).start for study in range(600)])
    for axis, have in enumerate(HAVE):
        assert set(starts[:, axis].tolist()) == set(range(have - 4 + 1))
    both = (
        AugmentRecipe(flip=0.5, shift_probability=0.5),
        AugmentRecipe(scale=(0.8, 1.0), scaling="cut", flip=0.5, shift_probability=0.5),
    )
    for study in range(20):
        zoomed, cut = (_draw(recipe, study) for recipe in both)
        assert (zoomed.flips, zoomed.shift_hu) == (cut.flips, cut.shift_hu)


def test_crop_copies() -> None:
    voxels = _voxels()
    box = crop(voxels, (0, 0, 0), HAVE)
    box.fill_(7)
    assert voxels[0, 0, 1] == 1


def test_centre_crop_takes_the_middle_and_pads_both_sides() -> None:
    assert torch.equal(crop_centre(_voxels(), WANT), _voxels()[2:10, 1:9, 2:6])
    padded = crop_centre(_voxels(), (16, 10, 8))
    assert torch.equal(padded[2:14], _voxels())
    assert (padded[:2] == AIR_HU).all()
    assert (padded[14:] == AIR_HU).all()


def test_crops_reach_every_start_and_never_leave_the_volume() -> None:
    starts = torch.tensor([_draw(AugmentRecipe(), study).start for study in range(300)])
    for axis, (have, want) in enumerate(zip(HAVE, WANT, strict=True)):
        assert set(starts[:, axis].tolist()) == set(range(have - want + 1))


def test_without_crop_the_centre_is_taken_and_a_larger_box_is_centred() -> None:
    assert _draw(AugmentRecipe(crop=False)).start == (2, 1, 2)
    assert _draw(AugmentRecipe(), want=(16, 10, 8)).start == (-2, 0, 0)


def test_one_switch_does_not_move_the_draws_of_another() -> None:
    plain, flipped = _draw(AugmentRecipe()), _draw(AugmentRecipe(flip=1.0, shift_probability=1.0))
    assert plain.start == flipped.start
    assert plain.flips == ()
    assert flipped.flips == (0, 1, 2)
    assert flipped.shift_hu != 0


def test_draws_are_within_the_recipe_and_as_frequent() -> None:
    recipe = AugmentRecipe(scale=(0.5, 1.0), flip=0.2, shift=0.1, shift_probability=0.25)
    drawn = [_draw(recipe, study) for study in range(2000)]
    shifts = torch.tensor([d.shift_hu for d in drawn if d.shift_hu])
    assert {d.size[0] for d in drawn} == {4, 5, 6, 7, 8}
    assert {d.size[2] for d in drawn} == {2, 3, 4}
    assert shifts.abs().max() <= 100
    assert shifts.min() < -80
    assert shifts.max() > 80
    assert 0.2 < len(shifts) / len(drawn) < 0.3
    for axis in range(3):
        assert 0.15 < sum(axis in d.flips for d in drawn) / len(drawn) < 0.25


def test_flips_reverse_their_axes() -> None:
    out = apply_augmentation(_voxels(), Augmentation((0, 0, 0), HAVE, HAVE, flips=(0, 2)))
    assert torch.equal(out, _voxels().flip(0, 2))


def test_shift_is_in_hu_and_saturates() -> None:
    voxels = torch.tensor([[[-1000, 0, 32767, -32768]]], dtype=torch.int16)
    up = apply_augmentation(voxels, Augmentation((0, 0, 0), (1, 1, 4), (1, 1, 4), shift_hu=50))
    down = apply_augmentation(voxels, Augmentation((0, 0, 0), (1, 1, 4), (1, 1, 4), shift_hu=-50))
    assert up.tolist() == [[[-950, 50, 32767, -32718]]]
    assert down.tolist() == [[[-1050, -50, 32717, -32768]]]


@pytest.mark.parametrize("size", [(4, 8, 4), (8, 8, 4), (8, 4, 8)])
def test_scale_resamples_to_the_models_size(size: tuple[int, int, int]) -> None:
    # A ramp along the first axis stays a ramp under linear interpolation.
    ramp = (torch.arange(12, dtype=torch.int16) * 100)[:, None, None].expand(HAVE)
    out = apply_augmentation(ramp, Augmentation((2, 1, 0), size, WANT))
    assert out.dtype == torch.int16
    assert out.shape == WANT
    centres = (torch.arange(8) + 0.5) * size[0] / 8 - 0.5
    expected = ((centres.clamp(0, size[0] - 1) + 2) * 100).round()
    assert torch.equal(out[:, 3, 2].float(), expected)
