"""Maps of sentences that the report holds, and of those that it does not."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.held_out_fakes import RECIPE, FakeSource, box, held_out

from simcrop.adapters.sources.with_masks import WithTruthFolder
from simcrop.core.data.held_out import asserts_finding
from simcrop.core.data.study import SentenceTruth
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.sentence_maps import absent_maps, placed_maps

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
    [reported], [other] = placed_maps(*arguments), absent_maps(*arguments)
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


def test_masks_of_another_folder_replace_those_of_the_data(tmp_path: Path) -> None:
    source = source_of(SPOT)
    source.identity = "fake"
    folder = tmp_path / "sub" / "v0"
    folder.mkdir(parents=True)
    (folder / "sentences.json").write_text(json.dumps({"version": 1, "sentences": [{"text": "No fracture."} | WHERE]}))
    voxels = np.zeros((3, 3, 3), np.uint8)
    voxels[0, 1, 2] = 1
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / "m.nii")
    there = WithTruthFolder(source, tmp_path)
    [truth] = there.ground_truth("sub/v0.nii.gz")
    assert (truth.text, truth.finding, truth.mask) == ("No fracture.", "Fracture", "m.nii")
    assert there.read_mask("sub/v0.nii.gz", "m.nii").voxels.nonzero().tolist() == [[0, 1, 2]]
    assert there.ground_truth("v1") == ()
    assert (there.studies(), there.label_names, there.identity) == (source.list, source.label_names, "fake")
    assert torch.equal(there.read_volume("v0").voxels, source.read_volume("v0").voxels)
    assert there.volume_file("v0") == source.volume_file("v0")
    with pytest.raises(ConfigError, match=r"^grounding.folder: .*nowhere does not exist; name a folder as in docs/"):
        WithTruthFolder(source, tmp_path / "nowhere")
