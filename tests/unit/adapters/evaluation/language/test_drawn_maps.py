"""Maps of sentences, ready to be drawn, and the studies that are drawn."""

import pytest
import torch

from simcrop.adapters.evaluation.language.drawn_maps import choose_studies, sentence_map
from simcrop.core.data.held_out import Place
from simcrop.core.data.study import Report, Study
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.sentence_maps import PlacedMap
from simcrop.core.recipe import ModelRecipe

RECIPE = ModelRecipe(volume_size=(8, 4, 6), patch_size=(4, 2, 3), local_patch_size=None)
"""A grid of 2 x 2 x 2 patches."""
STUDY = Study("s", "p", Report("", ""), ("v",))


def placed(*, finding: str | None = "Nodule", present: bool = True) -> PlacedMap:
    """Patch 7 answers most but cannot be chosen; of the others patch 5 does, at (1, 0, 1)."""
    mask = torch.zeros(RECIPE.volume_size, dtype=torch.bool)
    mask[4:, :2, 3:] = True
    similarity = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.5, 0.9])
    place = Place(0, "A nodule.", finding, present, lambda: mask)
    return PlacedMap(STUDY, place, similarity, torch.arange(8) < 7)


def test_the_cross_is_at_the_centre_of_the_best_patch_that_may_be_chosen() -> None:
    drawn = sentence_map(placed(), RECIPE)
    assert (drawn.best_voxel, drawn.hit, drawn.chance) == ((6, 1, 4), True, pytest.approx(1 / 7))
    assert drawn.similarity.shape == drawn.mask.shape == RECIPE.volume_size
    assert drawn.similarity[-1, -1, -1] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("finding", "present", "about"),
    [("Nodule", True, "Nodule"), ("Nodule", False, "Nodule (denied)"), (None, False, "normal structure")],
)
def test_it_is_told_what_a_sentence_speaks_of(finding: str | None, present: bool, about: str) -> None:
    assert sentence_map(placed(finding=finding, present=present), RECIPE).about == about


def test_studies_are_drawn_by_rule() -> None:
    def pointings(hits: str, auc: float) -> list[Pointing]:
        return [Pointing("x", hit == "1", 0.1, auc) for hit in hits]

    studies = {
        "a": pointings("00", 0.9),
        "b": pointings("11", 0.6),
        "c": pointings("1", 0.7),
        "d": pointings("10", 0.1),
        "e": pointings("0", 0.2),
    }
    assert choose_studies(studies, 1) == {"best_1": "c", "worst_1": "e", "middle_1": "d"}
    assert choose_studies(studies, 2) == {
        "best_1": "c", "best_2": "b", "worst_1": "e", "worst_2": "a", "middle_2": "d"
    }  # fmt: skip
    assert choose_studies({"a": studies["a"]}, 2) == {"best_1": "a"}
    assert choose_studies(studies, 0) == {}
