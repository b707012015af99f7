"""Maps without a look, what looking adds to them, and a sentence's own volume among others."""

import math

import pytest
import torch
from support.held_out_fakes import RECIPE, BrightnessModel, FakeSource, box, held_out
from torch import Tensor

from simcrop.core.data.held_out import HeldOutStudies, asserts_finding
from simcrop.core.data.study import Report, SentenceTruth, Study
from simcrop.core.evaluation.grounding import Pointing, similarity_maps
from simcrop.core.evaluation.looking import (
    NUMBERS,
    ComparedMap,
    Comparison,
    looking_numbers,
    mean_unit_patches,
    own_above_others,
)
from simcrop.core.evaluation.sentence_maps import placed_sentences

SPOT = SentenceTruth("A bright spot.", "Bright spot", present=True, mask="m.nii.gz")
FIRST, SECOND = box((0, 0, 0), (4, 4, 3)), box((4, 4, 0), (8, 8, 3))


def test_the_mean_patch_is_of_unit_length_and_of_tissue_alone() -> None:
    volumes = torch.tensor([[[3.0, 0.0], [0.0, 0.0]], [[0.0, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 7.0]]])
    found = mean_unit_patches([volumes[:2], volumes[2:]])
    assert found is not None
    assert found.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert mean_unit_patches([]) is None
    bare = mean_unit_patches([torch.zeros(1, 2, 2)])
    assert bare is not None
    assert bare.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.mark.parametrize("size", [1, 3, 20])
def test_a_unit_sentence_times_the_mean_patch_is_its_mean_map(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    volumes = torch.randn(20, 9, 5, generator=generator)
    sentence = torch.randn(1, 5, generator=generator)
    reference = mean_unit_patches(volumes.split(size))
    assert reference is not None
    expected = torch.stack([similarity_maps(sentence, each)[0] for each in volumes]).mean(0)
    torch.testing.assert_close(reference @ torch.nn.functional.normalize(sentence[0], dim=0), expected)


def test_the_own_volume_is_counted_against_those_without_the_finding() -> None:
    scores = torch.tensor([0.5, 0.9, 0.2, 0.5, 0.7])
    lacking = torch.tensor([False, False, True, True, True])
    assert own_above_others(scores, 0, lacking) == pytest.approx((1 + 0.5 + 0) / 3)
    assert own_above_others(scores, 4, lacking) == 1.0  # its own label says otherwise; it is no other volume
    assert math.isnan(own_above_others(scores, 0, torch.zeros(5, dtype=torch.bool)))


@pytest.mark.parametrize("seed", range(5))
def test_two_volumes_share_one_between_them(seed: int) -> None:
    scores = torch.randint(0, 3, (2,), generator=torch.Generator().manual_seed(seed)).double()
    shares = (
        own_above_others(scores, 0, torch.tensor([False, True])),
        own_above_others(scores, 1, ~torch.eye(2)[1].bool()),
    )
    assert sum(shares) == 1.0


def compared(patient: str, text: str, inside: list[int], *, finding: str = "a", evidence: bool = True) -> ComparedMap:
    pointing = Pointing(finding, hit=True, chance=0.25, auc=0.5)
    place = torch.zeros(4, dtype=torch.bool)
    place[inside] = True
    study = Study(patient, patient, Report("", ""), ("v",))
    told = pointing if evidence else None
    return ComparedMap(study, text, pointing, told, told, place, torch.ones(4, dtype=torch.bool), 0.75)


def test_who_reads_the_place_knows_more_than_who_does_not() -> None:
    rows = [("p0", "On the left.", [0]), ("p1", "On the left.", [0]), ("p2", "On the right.", [3])]
    first, _, last = looking_numbers([compared(*row) for row in rows])
    assert (first["auc_blind_reading"], first["hit_rate_blind_reading"]) == (1.0, 1.0)
    assert first["auc_blind"] == pytest.approx((2 + 0.5) / 3)  # its patch and that of p2 are told alike
    assert last["auc_blind_reading"] == last["auc_blind"] == pytest.approx(1 / 3)  # none has its words
    assert tuple(first) == NUMBERS
    assert first["own_above_others"] == 0.75


def test_what_cannot_be_told_is_nan() -> None:
    [alone] = looking_numbers([compared("p0", "On the left.", [0], evidence=False)])
    assert (alone["hit_rate"], alone["chance"], alone["auc"]) == (True, 0.25, 0.5)
    for name in ("blind", "blind_reading", "no_look", "evidence"):
        assert math.isnan(alone[f"auc_{name}"])
        assert math.isnan(alone[f"hit_rate_{name}"])
    assert looking_numbers([]) == []


def two_studies() -> tuple[HeldOutStudies, BrightnessModel]:
    """A bright spot that is spoken of, and a volume of air."""
    source = FakeSource()
    source.add(0, "A bright spot.", [SPOT], bright=SECOND)
    source.add(1, "The heart is normal.", [], bright=None)
    source.masks["v0", "m.nii.gz"] = SECOND
    return held_out(source)


def compare_with(reference: Tensor | None) -> dict[int, ComparedMap]:
    studies, model = two_studies()
    comparison = Comparison(
        model, studies, placed_sentences(model, studies, studies.studies, asserts_finding), reference
    )
    for part, volumes in studies.batches(studies.studies, 1):
        comparison.add(part, model.patch_features(volumes))
    return comparison.results()


def test_a_spot_where_training_volumes_have_none_is_evidence() -> None:
    _, model = two_studies()
    volume = torch.full((1, 1, *RECIPE.volume_size), -1000, dtype=torch.int16)
    volume[0, 0, FIRST] = 1000
    found = compare_with(mean_unit_patches([model.patch_features(volume)]))[0]
    assert (found.pointing.auc, found.evidence, found.own_above_others) == (
        1.0,
        Pointing("Bright spot", hit=True, chance=1 / 12, auc=1.0),
        1.0,
    )
    # Without a look the sentence points at the place of the training volume.
    assert found.no_look == Pointing("Bright spot", hit=False, chance=1 / 12, auc=pytest.approx((10 / 2) / 11))


def test_a_spot_where_training_volumes_have_it_is_no_evidence() -> None:
    studies, model = two_studies()
    [spot] = [study for study in studies.studies if study.study_id == "s0"]
    found = compare_with(mean_unit_patches([model.patch_features(studies.volume(spot)[None])]))[0]
    assert found.no_look is not None
    assert found.evidence is not None
    assert (found.pointing.auc, found.no_look.auc, found.evidence.auc) == (1.0, 1.0, 0.5)


def test_without_training_volumes_there_is_no_such_map() -> None:
    found = compare_with(None)[0]
    assert (found.no_look, found.evidence, found.own_above_others) == (None, None, 1.0)
