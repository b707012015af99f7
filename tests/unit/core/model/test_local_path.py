"""The local path: what the features of a patch depend on, and which patches a training step looks at."""

from dataclasses import replace

import pytest
import torch
from support.small_models import MODEL, OBJECTIVES, TRAINED, make_batch, make_model, only, terms_of
from torch import Tensor

from simcrop.core.errors import ConfigError
from simcrop.core.model.local_path import LocalPath
from simcrop.core.model.patches import patchify
from simcrop.core.objectives.losses import Counts
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import AlignmentRecipe, LateInteractionRecipe, ModelRecipe

RECIPE = replace(MODEL, volume_size=(8, 8, 8), patch_size=(4, 4, 4), local_patch_size=(2, 4, 2), local_dim=12)
LOCAL = replace(MODEL, local_patch_size=(2, 3, 1), local_dim=12, local_keep=0.5)
SOFT = replace(OBJECTIVES, late_interaction=LateInteractionRecipe(same_above=0.999))


def make_path(recipe: ModelRecipe = RECIPE, seed: int = 0) -> LocalPath:
    torch.manual_seed(seed)
    assert recipe.local is not None
    return LocalPath(recipe, recipe.local)


def draw_volume(*, studies: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-900, 900, (studies, 1, 8, 8, 8), generator=generator, dtype=torch.int16)


def test_half_a_patch_where_it_can_be_halved() -> None:
    assert ModelRecipe(patch_size=(6, 6, 3), volume_size=(48, 48, 24)).local == (3, 3, 3)
    assert ModelRecipe(patch_size=(16, 16, 8), volume_size=(224, 224, 112)).local == (8, 8, 4)
    assert RECIPE.matched_grid == (4, 2, 4)
    assert replace(RECIPE, local_patch_size=None).matched_grid == RECIPE.grid


def test_a_patch_must_divide_the_volume() -> None:
    with pytest.raises(ConfigError, match=r"local_patch_size: 3 voxels on axis 0 do not divide the 8 of volume_size"):
        replace(RECIPE, local_patch_size=(3, 4, 4))


def test_no_patch_knows_of_another() -> None:
    path, volume = make_path(), draw_volume()
    before, other = path(volume)[0], volume.clone()
    other[..., 2:4, 4:8, 6:8] = 111  # patch (1, 1, 3)
    changed = (path(other)[0] != before).any(1)
    assert changed.nonzero().flatten().tolist() == [(1 * 2 + 1) * 4 + 3]


def test_some_patches_are_the_same_as_among_all() -> None:
    path, volume = make_path(), draw_volume(studies=2)
    ids = torch.tensor([[3, 0, 31], [7, 7, 12]])
    everything = path(volume)
    torch.testing.assert_close(path(volume, ids), torch.stack([everything[b, rows] for b, rows in enumerate(ids)]))


def test_sorted_values_tell_an_extreme_wherever_it_lies() -> None:
    path, volume = make_path(), torch.zeros(2, 1, 8, 8, 8)
    with torch.no_grad():
        path.values.weight.zero_()
    volume[0, 0, 0, 0, 0] = volume[1, 0, 1, 3, 1] = 800.0
    torch.testing.assert_close(path(volume)[0, 0], path(volume)[1, 0])
    assert not torch.allclose(path(volume)[0, 0], path(torch.zeros_like(volume))[0, 0])


def test_the_same_patch_elsewhere_is_another() -> None:
    features = make_path()(torch.zeros(1, 1, 8, 8, 8))[0]
    assert len(torch.unique(features.detach().round(decimals=5), dim=0)) == len(features)


def test_air_has_no_feature_unless_it_may_be_a_place() -> None:
    volume = draw_volume()
    volume[..., :2, :4, :2] = -1000
    assert (make_path()(volume)[0] == 0).all(1).nonzero().flatten().tolist() == [0]
    assert make_path(replace(RECIPE, ignore_air=False))(volume)[0].any(1).all()


def test_volumes_of_another_size_have_positions_of_their_own() -> None:
    path = make_path()
    assert path(torch.zeros(1, 1, 4, 12, 6)).shape == (1, 2 * 3 * 3, RECIPE.projection_dim)
    with pytest.raises(Exception, match="not divisible"):
        path(torch.zeros(1, 1, 5, 8, 8))


def test_several_windows_are_read_and_the_order_is_that_of_one() -> None:
    recipe = replace(RECIPE, windows=((-1000.0, 1000.0), (0.0, 100.0)))
    path, volume = make_path(recipe), draw_volume()
    assert path.values.in_features == 2 * path.sorted_values.in_features == 2 * 16
    assert path(volume).shape == (1, 32, RECIPE.projection_dim)


def test_a_step_looks_at_patches_with_tissue_first() -> None:
    path = make_path(replace(RECIPE, local_keep=0.25))
    volume = torch.full((3, 1, 8, 8, 8), -1000, dtype=torch.int16)
    volume[:2, ..., :4, :, :] = 40  # 16 of 32 patches; the third volume is of air alone
    ids = path.draw(volume, torch.tensor([5, 6, 7]))
    assert ids.shape == (3, 8)
    assert (ids[:, 1:] > ids[:, :-1]).all()
    tissue = (patchify(volume, (2, 4, 2)) > -950).any(2)
    assert tissue[:2].gather(1, ids[:2]).all()
    assert not torch.equal(ids[0], ids[1])
    assert torch.equal(path.draw(volume[1:2], torch.tensor([6])), ids[1:2])


def test_every_patch_of_tissue_has_its_turn() -> None:
    path, volume = make_path(replace(RECIPE, local_keep=0.25)), draw_volume()
    drawn = torch.cat([path.draw(volume, torch.tensor([seed])).flatten() for seed in range(200)])
    counts = torch.bincount(drawn, minlength=32)
    assert counts.min() > 25
    assert counts.max() < 80


def test_the_model_compares_sentences_with_the_local_path() -> None:
    model, batch = make_model(SOFT, model=LOCAL).eval(), make_batch([2, 1])
    assert model.local is not None
    assert model.local_text_head is not None
    patches = model.patch_features(batch.volume)
    assert patches.shape == (2, 4 * 3 * 10, MODEL.projection_dim)
    torch.testing.assert_close(patches, model.local(batch.volume))
    tokens = model.encoder(batch.volume)
    assert model.contextual_features(tokens, batch.volume).shape == (2, MODEL.num_patches, MODEL.projection_dim)
    hidden = model.read_findings(batch.inputs.findings)
    torch.testing.assert_close(
        model.sentence_features(batch.inputs.findings, 2)[0, 0], model.local_text_head(hidden[0, 1:4].mean(0))
    )


def test_a_draw_changes_the_local_loss_alone() -> None:
    model, batch = make_model(SOFT, model=LOCAL).eval(), make_batch([2, 1])
    draws = torch.tensor([1, 2])
    drawn = replace(batch, inputs=replace(batch.inputs, local_draws=draws))
    whole, part = terms_of(model, batch), terms_of(model, drawn)
    assert {name for name in whole if not torch.equal(whole[name], part[name])} == {"late_interaction"}
    torch.testing.assert_close(terms_of(model, drawn), part, rtol=0, atol=0)


@pytest.mark.parametrize("scan_weight", [0.0, 0.5])
def test_late_interaction_alone_trains_the_encoder_by_its_mean_token(scan_weight: float) -> None:
    objectives = replace(SOFT, late_interaction=LateInteractionRecipe(scan_weight=scan_weight))
    model = make_model(only("late_interaction", objectives), text=TRAINED, model=LOCAL)
    model.total(terms_of(model, make_batch([2, 1]))).backward()
    trained = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert not [name for name, gradient in trained.items() if gradient is None]
    assert {"local.values.weight", "local_text_head.out.weight", "late_interaction.bias"} <= set(trained)
    assert not any(name.startswith(("image_head.", "text_head.")) for name in trained)
    assert any(name.startswith("encoder.") for name in trained) is bool(scan_weight)
    assert any(name.startswith("scan_head.") for name in trained) is bool(scan_weight)


def test_the_mean_token_is_one_more_patch_to_be_scored() -> None:
    batch, losses = make_batch([2, 1]), {}
    for weight in (0.5, 1.0):
        late = LateInteractionRecipe(scan_weight=weight, same_above=0.999)
        model = make_model(replace(SOFT, late_interaction=late), model=LOCAL).eval()
        losses[weight] = terms_of(model, batch)["late_interaction"]
    step = model.begin(batch, Counts.of([batch], model.objectives), SingleProcess())
    assert model.scan_head is not None
    tokens = model.encoder(batch.volume, batch.inputs.ids_keep)
    scan = model.scan_head(tokens[:, 1:].mean(1))[:, None]
    torch.testing.assert_close(step.scan(), scan)
    _, sentences = step.local()
    counts = {"num_sentences": int(batch.inputs.sentence_mask.sum()), "num_studies": 2}
    compared = model.late_interaction(sentences, scan, **counts, communicator=SingleProcess())
    torch.testing.assert_close(losses[1.0] - losses[0.5], 0.5 * compared)


def test_without_late_interaction_there_is_no_local_path() -> None:
    objectives = replace(OBJECTIVES, late_interaction=LateInteractionRecipe(weight=0.0), alignment=AlignmentRecipe())
    model = make_model(objectives, model=replace(LOCAL, mask_ratio=0.5))
    assert model.local is None
    volume = make_batch([1]).volume
    assert model.patch_features(volume).shape[1] == MODEL.num_patches
