"""Maps of sentences that the report holds, and of those that it does not."""

import pytest
import torch
from support.held_out_fakes import RECIPE, FakeSource, box, held_out

from simcrop.core.data.held_out import asserts_finding
from simcrop.core.data.study import SentenceTruth
from simcrop.core.evaluation.sentence_maps import placed_maps

PATCH = box((4, 4, 0), (8, 8, 3))
SPOT = SentenceTruth("A bright spot.", "Spot", present=True, mask="0.nii.gz")
REPHRASED = SentenceTruth("Something bright.", "Spot", present=True, mask="0.nii.gz")
DENIED = SentenceTruth("Nothing bright.", "Spot", present=False, mask="0.nii.gz")
WHERE = {"finding": "Fracture", "present": True, "mask": "m.nii"}


def source_of(*truths: SentenceTruth) -> FakeSource:
    source = FakeSource()
    source.add(0, "The heart is normal. A bright spot. No fracture.", list(truths), bright=PATCH)
    source.masks["v0", "0.nii.gz"] = PATCH
    return source


def test_reported_and_other_sentences_are_told_apart_and_both_point() -> None:
    studies, model = held_out(source_of(SPOT, REPHRASED, DENIED))
    patches = model.patch_features(studies.volume(studies.studies[0])[None])
    arguments = (model, studies, studies.studies, patches, asserts_finding)
    [reported], [other] = placed_maps(*arguments), placed_maps(*arguments, reported=False)
    assert (reported.place.text, reported.is_reported) == (SPOT.text, True)
    assert (other.place.text, other.is_reported) == (REPHRASED.text, False)
    for each in (reported, other):
        pointing = each.pointing(RECIPE.patch_size)
        assert pointing is not None
        assert (pointing.hit, pointing.chance, pointing.auc) == (True, pytest.approx(1 / 12), 1.0)


def test_a_mask_outside_of_what_the_model_sees_tells_nothing() -> None:
    source = source_of(SPOT)
    source.masks["v0", "0.nii.gz"] = torch.zeros_like(PATCH)
    studies, model = held_out(source)
    patches = model.patch_features(studies.volume(studies.studies[0])[None])
    [each] = placed_maps(model, studies, studies.studies, patches, asserts_finding)
    assert each.pointing(RECIPE.patch_size) is None
