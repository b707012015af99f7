"""Maps of sentences that the report holds, and of those that it does not."""

import pytest
import torch
from support.held_out_fakes import RECIPE, BrightnessModel, FakeSource, box, held_out

from simcrop.core.data.held_out import HeldOutStudies, asserts_finding
from simcrop.core.data.study import SentenceTruth
from simcrop.core.evaluation.sentence_maps import PlacedMap, maps_of, placed_sentences

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


def placed_maps(studies: HeldOutStudies, model: BrightnessModel, *, reported: bool = True) -> list[PlacedMap]:
    sentences = placed_sentences(model, studies, studies.studies, asserts_finding, reported=reported)
    return maps_of(sentences, model.patch_features(studies.volume(studies.studies[0])[None])[0])


def test_reported_and_other_sentences_are_told_apart_and_both_point() -> None:
    studies, model = held_out(source_of(SPOT, REPHRASED, DENIED))
    [reported], [other] = placed_maps(studies, model), placed_maps(studies, model, reported=False)
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
    [each] = placed_maps(studies, model)
    assert each.pointing(RECIPE.patch_size) is None
