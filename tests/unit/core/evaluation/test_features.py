"""Features for probes: which tokens are averaged, and what the voxel baseline keeps."""

import pytest
import torch
from torch import Tensor, nn

from simcrop.core.evaluation.features import model_features, probe_features, voxel_features
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import AlignmentRecipe, LateInteractionRecipe, ModelRecipe, ObjectivesRecipe, TextEncoderRecipe
from simcrop.core.reference import REFERENCE


class FakeEncoder(nn.Module):
    """Class token 100, patch tokens 1..N times a trainable scale; the final norm would give 0."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))

    def encode(self, volume: Tensor, *, normalized: bool) -> Tensor:
        tokens = torch.tensor([100.0, 1.0, 2.0, 6.0])[None, :, None] * self.scale
        return torch.zeros_like(tokens) if normalized else tokens.expand(len(volume), -1, -1)


def test_probe_features_average_patch_tokens_before_the_norm() -> None:
    features = probe_features(FakeEncoder(), torch.zeros(2, 1, 4, 4, 4))
    torch.testing.assert_close(features, torch.full((2, 2), 3.0))
    assert not features.requires_grad


def test_voxel_features_are_windowed_means_of_cells() -> None:
    volume = torch.full((1, 1, 24, 24, 12), -3000, dtype=torch.int16)
    volume[..., :2, :2, 0] = 250
    features = voxel_features(volume, (-1000.0, 1000.0))
    assert features.shape == (1, 12**3)
    assert features[0, 0] == 0.25
    assert (features[0, 1:] == -1).all()


def test_voxel_features_take_any_size() -> None:
    assert voxel_features(torch.zeros(2, 1, 18, 20, 7), (-1000.0, 1000.0)).shape == (2, 12**3)


@pytest.mark.parametrize("aligns", [True, False])
def test_one_pass_gives_what_two_would(aligns: bool) -> None:
    recipe = ModelRecipe(volume_size=(8, 8, 8), patch_size=(4, 4, 4), embed_dim=12, num_heads=2, depth=2)
    weight = float(aligns)
    objectives = ObjectivesRecipe(
        alignment=AlignmentRecipe(weight=weight), late_interaction=LateInteractionRecipe(weight=weight)
    )
    text = nn.Identity()
    text.hidden_size = 8
    model = SimCroP(recipe, objectives, TextEncoderRecipe(), text_encoder=text, vocab_size=9, ops=REFERENCE).eval()
    volume = torch.randint(-1000, 1000, (2, 1, 8, 8, 8), dtype=torch.int16)
    features, patches = model_features(model, volume)
    torch.testing.assert_close(features, probe_features(model.encoder, volume))
    if aligns:
        torch.testing.assert_close(patches, model.patch_features(volume))
    else:
        assert patches is None
