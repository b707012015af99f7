"""Shares of organs in patches: they belong to the patches of the volume, whatever a box undergoes."""

from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simcrop.core.data.augment import AIR_HU, Augmentation, Augmenter, augment_box, cut_box, size_of
from simcrop.core.data.organ_shares import class_bits, shares_in_patches
from simcrop.core.model.patches import patch_rows
from simcrop.core.recipe import AugmentRecipe, ModelRecipe

MODEL = ModelRecipe(volume_size=(8, 6, 4), patch_size=(4, 2, 2), local_patch_size=None)
PREPARED = (11, 7, 6)
EVERY = torch.arange(MODEL.num_patches)


def box_of(voxels: Tensor, augmentation: Augmentation, air: int) -> Tensor:
    box = torch.empty(augmentation.size, dtype=torch.int16)
    cut_box(
        lambda part, into: into.copy_(voxels[part]),
        size_of(voxels),
        augmentation.start,
        box,
        pad=augmentation.pad,
        air=air,
    )
    return box


def seen_patches(voxels: Tensor, augmentation: Augmentation) -> Tensor:
    """Rows of HU as the encoder reads them."""
    return patch_rows(augment_box(box_of(voxels, augmentation, AIR_HU), augmentation)[None, None], None, (4, 2, 2))[0]


def volume(seed: int) -> Tensor:
    return torch.randint(-1000, 1000, PREPARED, generator=torch.Generator().manual_seed(seed)).short()


def test_shares_of_a_case_by_hand() -> None:
    masks = torch.zeros(3, 8, 6, 4, dtype=torch.bool)
    masks[0, :2, :2] = True  # half of the two patches of the first column, along x, and all of its y and z
    masks[1, 1, 0, 0] = True  # one voxel of sixteen, which is of class 0 too
    bits = class_bits(masks)
    assert bits[1, 0, 0] == 3
    plain = Augmentation((0, 0, 0), (8, 6, 4), (8, 6, 4))
    shares = shares_in_patches(bits, [True, True, False], plain, torch.tensor([0, 1, 2, 11]), (4, 2, 2))
    assert shares[:, 0].tolist() == [0.5, 0.5, 0.0, 0.0]
    assert shares[:, 1].tolist() == [1 / 16, 0.0, 0.0, 0.0]
    assert shares[:, 2].isnan().all()


def test_fifteen_classes_fit() -> None:
    masks = torch.rand(15, 4, 3, 2, generator=torch.Generator().manual_seed(0)) > 0.5
    bits = class_bits(masks)
    assert (bits >= 0).all()
    plain = Augmentation((0, 0, 0), (4, 3, 2), (4, 3, 2))
    shares = shares_in_patches(bits, [True] * 15, plain, torch.tensor([0]), (4, 3, 2))
    torch.testing.assert_close(shares[0], masks.flatten(1).float().mean(1))


@given(
    seed=st.integers(0, 2**16),
    scaling=st.sampled_from(["cut", "zoom"]),
    pad=st.sampled_from(["air", "reflect"]),
    occasion=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_shares_of_a_threshold_are_those_of_the_volume_that_the_model_sees(
    seed: int, scaling: Literal["cut", "zoom"], pad: Literal["air", "reflect"], occasion: int
) -> None:
    """Above 0 HU: a mask that is cut, mirrored and flipped has the voxels that the volume then has above 0."""
    scale = (0.5, 1.0) if scaling == "cut" else (1.0, 1.0)
    recipe = AugmentRecipe(scale=scale, scaling=scaling, flip=0.5, pad=pad, shift=0.0)
    drawn = Augmenter(recipe, MODEL, seed).draw(PREPARED, occasion)
    voxels = volume(seed)
    bits = box_of(class_bits(torch.stack([voxels > 0, voxels > 500])), drawn, 0)
    shares = shares_in_patches(bits, [True, True], drawn, EVERY, MODEL.patch_size)
    rows = seen_patches(voxels, drawn)
    expected = torch.stack([(rows > 0).float().mean(1), (rows > 500).float().mean(1)], dim=1)
    assert torch.equal(shares, expected)


@given(seed=st.integers(0, 2**16), scale=st.floats(0.5, 1.6), occasion=st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_where_the_volume_is_resampled_its_organs_are_alike(seed: int, scale: float, occasion: int) -> None:
    """The HU of a volume that is 20000 inside a mask and 0 outside are shares of the mask, before and after."""
    drawn = Augmenter(AugmentRecipe(scale=(scale, scale), flip=0.5, shift=0.0), MODEL, seed).draw(PREPARED, occasion)
    inside = torch.stack([volume(seed) > 0, volume(seed + 1) > 500])
    shares = shares_in_patches(box_of(class_bits(inside), drawn, 0), [True, True], drawn, EVERY, MODEL.patch_size)
    boxes = [augment_box(box_of(mask.short() * 20000, drawn, 0), drawn) for mask in inside]
    rows = patch_rows(torch.stack(boxes)[:, None], None, MODEL.patch_size)
    torch.testing.assert_close(shares, rows.float().mean(2).T / 20000, atol=1e-4, rtol=0)


def test_only_the_wanted_patches_are_given_in_their_order() -> None:
    voxels = volume(1)
    drawn = Augmentation((1, 0, 1), (8, 6, 4), (8, 6, 4), flips=(0, 2))
    bits = box_of(class_bits((voxels > 0)[None]), drawn, 0)
    wanted = torch.tensor([2, 5, 11])
    every = shares_in_patches(bits, [True], drawn, EVERY, MODEL.patch_size)
    assert torch.equal(shares_in_patches(bits, [True], drawn, wanted, MODEL.patch_size), every[wanted])
    assert not torch.equal(every[wanted], every[:3])


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_shift_of_intensity_moves_no_organ(scale: float) -> None:
    size = (round(8 * scale), round(6 * scale), round(4 * scale))
    still, shifted = (Augmentation((0, 0, 0), size, (8, 6, 4), shift_hu=hu) for hu in (0, 100))
    bits = box_of(class_bits((volume(2) > 0)[None]), still, 0)
    found = [shares_in_patches(bits, [True], each, EVERY, MODEL.patch_size) for each in (still, shifted)]
    assert torch.equal(*found)
