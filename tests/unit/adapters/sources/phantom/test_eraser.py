"""Phantoms painted again: the same where nothing is erased, changed where something is."""

from pathlib import Path

import pytest
import torch

from simcrop.adapters.sources.phantom.eraser import PhantomEraser, without_lesions
from simcrop.adapters.sources.phantom.source import PhantomSource
from simcrop.adapters.sources.phantom.specification import plan, sample_study
from simcrop.core.errors import DataError


def test_every_volume_is_made_again_voxel_for_voxel(phantoms: Path) -> None:
    source = PhantomSource(phantoms)
    assert source.eraser is not None
    for name in (name for study in source.studies() for name in study.reconstructions):
        made, stored = source.eraser.without(name, ()), source.read_volume(name)
        assert torch.equal(made.voxels, stored.voxels)
        assert torch.equal(made.affine, stored.affine)


def test_what_is_erased_changes_its_own_place_most(phantoms: Path) -> None:
    source, eraser = PhantomSource(phantoms), PhantomEraser(phantoms)
    checked = 0
    for name in (study.reconstructions[0] for study in source.studies()):
        stored = source.read_volume(name).voxels.int()
        for truth in source.ground_truth(name):
            if not truth.present or truth.finding not in {"Lung opacity", "Consolidation"} or truth.mask is None:
                continue
            inside = source.read_mask(name, truth.mask).voxels > 0
            change = (eraser.without(name, [truth.mask]).voxels.int() - stored).abs().float()
            # Fluid may hide a part of it.
            assert change[inside].mean() > 20
            assert change[~inside].mean() < change[inside].mean() / 20
            checked += 1
    assert checked


def test_a_heart_without_cardiomegaly_is_as_large_as_that_of_other_scans_of_the_patient() -> None:
    studies = (sample_study(slot, 0) for slot in plan(60, 0, 0.3))
    for study in studies:
        findings = [lesion.finding for lesion in study.lesions]
        if {"Cardiomegaly", "Coronary artery wall calcification"} <= set(findings):
            break
    kept = without_lesions(study, {findings.index("Cardiomegaly")})
    shrink = kept.anatomy.heart[0] / study.anatomy.heart[0]
    assert 1 / 1.45 <= shrink <= 1 / 1.26
    assert "Cardiomegaly" not in {lesion.finding for lesion in kept.lesions}
    [before], [after] = (
        [lesion.center for lesion in each.lesions if lesion.finding.startswith("Coronary")] for each in (study, kept)
    )
    for c, p, q in zip(study.anatomy.heart_center, before, after, strict=True):
        assert q - c == pytest.approx(shrink * (p - c))


def test_what_is_not_known_is_refused(phantoms: Path, tmp_path: Path) -> None:
    eraser = PhantomEraser(phantoms)
    with pytest.raises(DataError, match=r"tells of no chest 'valid_99_a'; write the phantoms again"):
        eraser.without("valid_99_a_1", ())
    name = PhantomSource(phantoms).studies()[0].reconstructions[0]
    with pytest.raises(DataError, match=r"has no finding behind the mask 'trachea\.nii\.gz'"):
        eraser.without(name, ["trachea.nii.gz"])
    with pytest.raises(DataError, match=r"phantom\.json: cannot be read .* write the phantoms again"):
        PhantomEraser(tmp_path).without(name, ())
    (tmp_path / "phantom.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match=r"is of version 1, expected"):
        PhantomEraser(tmp_path).without(name, ())
