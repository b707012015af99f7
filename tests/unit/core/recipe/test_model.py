"""Sizes that follow from those of the network."""

from dataclasses import replace

from simcrop.core.recipe import ModelRecipe


def test_sizes_follow_from_a_grid_that_is_not_cubic() -> None:
    model = ModelRecipe(volume_size=(8, 9, 10), patch_size=(4, 3, 2), in_channels=2, mask_ratio=0.5)
    assert model.grid == (2, 3, 5)
    assert (model.num_patches, model.num_visible, model.patch_values) == (30, 15, 48)


def test_the_number_of_visible_patches_is_rounded_as_the_recipe_says() -> None:
    model = ModelRecipe(volume_size=(49, 49, 49), patch_size=(7, 7, 7), mask_ratio=0.75)
    assert (model.num_patches, model.num_visible) == (343, 86)
    assert replace(model, visible_rounding="down").num_visible == 85


def test_the_encoder_reads_the_one_window_unless_others_are_named() -> None:
    assert ModelRecipe(window=(0.0, 1.0)).input_windows == ((0.0, 1.0),)
    several = ModelRecipe(in_channels=2, windows=((-1000.0, 1000.0), (-150.0, 250.0), (150.0, 1500.0)))
    assert len(several.input_windows) == 3
    assert (several.input_channels, several.patch_values) == (6, 2 * 12 * 12 * 6)
