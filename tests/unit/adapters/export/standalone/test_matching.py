"""The parts that compare sentences with patches compute what the core's compute."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.small_models import MODEL

from simcrop.adapters.export.standalone.matching import (
    LocalPath,
    best_scores,
    holds_tissue,
    soft_scores,
    token_mean,
)
from simcrop.core.model.local_path import LocalPath as OurLocalPath
from simcrop.core.model.patches import holds_tissue as our_holds_tissue
from simcrop.core.objectives.objective import sentence_means
from simcrop.core.reference import sentence_volume_scores, soft_volume_scores

PATCH = (2, 3, 5)


@pytest.mark.parametrize("changes", [{}, {"windows": ((-1000.0, 1000.0), (-150.0, 250.0)), "local_depth": 2}], ids=str)
@torch.no_grad()
def test_the_local_path_is_the_same(changes: dict[str, Any]) -> None:
    torch.manual_seed(0)
    recipe = replace(MODEL, local_patch_size=PATCH, local_dim=14, ignore_air=False, window=(-900.0, 700.0), **changes)
    ours = OurLocalPath(recipe, PATCH)
    theirs = LocalPath(
        patch_size=PATCH,
        windows=recipe.input_windows,
        air_window=recipe.window,
        dim=recipe.local_dim,
        depth=recipe.local_depth,
        projection_dim=recipe.projection_dim,
    )
    theirs.load_state_dict(ours.state_dict())
    for size in (MODEL.volume_size, (4, 6, 5)):
        hu = torch.randint(-1200, 1500, (2, 1, *size), dtype=torch.int16)
        torch.testing.assert_close(theirs(hu.float()), ours(hu), rtol=0, atol=1e-6)


def test_tissue_is_told_by_the_same_voxels() -> None:
    generator = torch.Generator().manual_seed(1)
    hu = torch.randint(-960, -939, (4, 1, 8, 9, 10), generator=generator).short()
    for window in ((-1000.0, 1000.0), (-1000.0, 800.0)):
        expected = our_holds_tissue(hu, None, PATCH, window)
        assert torch.equal(holds_tissue(hu.float(), PATCH, window), expected)
    assert 0 < expected.float().mean() < 1


def test_scores_are_the_same_and_a_patch_that_is_left_out_is_met_by_none() -> None:
    torch.manual_seed(2)
    sentences, patches = torch.randn(3, 8), torch.randn(2, 7, 8)
    patches[0, :3] = 0
    soft = soft_volume_scores(sentences[None], patches, temperature=0.07)[0]
    torch.testing.assert_close(soft_scores(sentences, patches, 0.07), soft, rtol=0, atol=1e-6)
    best = sentence_volume_scores(sentences[None], patches, k=2)[0]
    torch.testing.assert_close(best_scores(sentences, patches, 2), best, rtol=0, atol=1e-6)
    assert best_scores(sentences, patches, 99).shape == (2, 3)


def test_the_mean_is_over_chosen_tokens() -> None:
    tokens = torch.randn(2, 4, 3)
    chosen = torch.tensor([[False, True, True, False], [False] * 4])
    expected = sentence_means(tokens, torch.where(chosen, 0, -1), 1)[:, 0]
    torch.testing.assert_close(token_mean(tokens, chosen), expected)
    assert not token_mean(tokens, chosen)[1].any()
