"""Faithfulness tests on a run of two steps, with data that can be made again and data that cannot."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.language_run import NODULE, SHORT, Tiny, read

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.sources.truth_folders import WithTruthFolder
from simcrop.compose.evaluation.faithfulness import measure_faithfulness
from simcrop.compose.evaluation.language_task import LanguageTask, begin_language
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError
from simcrop.core.evaluation.faithfulness import Erasure
from simcrop.core.ports import DataSet, Eraser
from simcrop.core.training.stopping import Stopped


class Undo(Eraser):
    """Gives back the file's volumes; without a finding another one, and with `flaw` never the same."""

    def __init__(self, source: DataSet, *, changes: int = 0, flaw: int = 0, only: str = "") -> None:
        self._source, self._changes, self._flaw, self._only = source, changes, flaw, only
        self.asked: list[tuple[str, ...]] = []

    def without(self, reconstruction: str, masks: Sequence[str]) -> Volume:
        self.asked.append(tuple(masks))
        volume = self._source.read_volume(reconstruction)
        voxels = volume.voxels.clone()
        voxels[::2] += self._flaw + (self._changes if masks and self._only in masks[0] else 0)
        return Volume(voxels, volume.affine)


class Lost(Eraser):
    """Cannot make anything again."""

    def without(self, reconstruction: str, masks: Sequence[str]) -> Volume:
        raise DataError(f"{reconstruction}: is lost")


@pytest.fixture
def task(tiny: Tiny) -> LanguageTask:
    return begin_language(load_config(tiny.config, list(SHORT)), str(tiny.run))


def go_on() -> bool:
    return False


def test_scores_change_with_the_volume_alone(task: LanguageTask) -> None:
    held_out, source = task.reader(task.data.held_out), task.data.source
    same = measure_faithfulness(task, held_out, Undo(source), go_on)
    assert len(same.erased) > 1
    # A volume that comes through the same preparation and shows the same has the same score.
    assert {(each.erasure.falls, each.erasure.fall) for each in same.erased} == {(0.5, 0.0)}
    other = measure_faithfulness(task, held_out, Undo(source, changes=300), go_on)
    assert all(each.erasure.falls in {0.0, 1.0} for each in other.erased)
    assert {each.finding for each in other.erased} == {"Lung nodule"}


def test_a_finding_elsewhere_is_compared_by_its_own_volume(task: LanguageTask, tmp_path: Path) -> None:
    name = task.reader(task.data.held_out).studies[0].reconstructions[0]
    folder = tmp_path / name.removesuffix(".nii.gz")
    folder.mkdir()
    sentences: list[dict[str, object]] = []
    for finding, start in (("first", 2), ("second", 14)):
        mask = np.zeros((20, 20, 20), np.uint8)
        mask[start : start + 3, 4:9, 6:12] = 1
        nib.save(nib.Nifti1Image(mask, np.diag([2.0, 2.0, 2.0, 1.0])), folder / f"{finding}.nii.gz")
        text = f"Here is something of the {finding} kind."
        sentences.append({"text": text, "finding": finding, "present": True, "mask": f"{finding}.nii.gz"})
    (folder / "sentences.json").write_text(json.dumps({"version": 1, "sentences": sentences}))
    held_out = task.reader(task.data.held_out, WithTruthFolder(task.data.source, tmp_path))

    def judged(changed: str) -> dict[str, Erasure]:
        eraser = Undo(task.data.source, changes=300, only=changed)
        return {each.finding: each.erasure for each in measure_faithfulness(task, held_out, eraser, go_on).erased}

    first, second = judged("first"), judged("second")
    # The same other volume stands for the finding of either sentence in turn, the unchanged one for the other's.
    for own, other, finding in ((first, second, "first"), (second, first, "second")):
        assert own[finding].falls in {0.0, 1.0}
        assert own[finding].specific == own[finding].falls
        assert (other[finding].falls, other[finding].specific) == (0.5, 1.0 - own[finding].falls)


def test_masks_are_named_and_studies_bounded(task: LanguageTask) -> None:
    held_out, eraser = task.reader(task.data.held_out), Undo(task.data.source)
    settings = replace(task.config.grounding, erased_studies=1)
    few = replace(task, config=replace(task.config, grounding=settings))
    found = measure_faithfulness(few, held_out, eraser, go_on)
    assert len({each.study.study_id for each in found.erased}) == 1
    assert eraser.asked == [(), *[("m.nii.gz",)] * len(found.erased)]
    none = replace(task, config=replace(task.config, grounding=replace(settings, erased_studies=0)))
    assert measure_faithfulness(none, held_out, Lost(), go_on).warnings == ()


def test_nothing_is_erased_where_volumes_cannot_be_made_again(task: LanguageTask) -> None:
    held_out = task.reader(task.data.held_out)
    flawed = measure_faithfulness(task, held_out, Undo(task.data.source, flaw=1), go_on)
    assert list(flawed.erased) == []
    assert "made again differs from its file" in flawed.warnings[0]
    lost = measure_faithfulness(task, held_out, Lost(), go_on)
    assert lost.warnings[0].startswith("no finding was erased: v")
    assert lost.warnings[0].endswith(": is lost")


def test_every_report_that_names_a_side_is_read_with_it_swapped(task: LanguageTask) -> None:
    held_out = task.reader(task.data.held_out)
    found = measure_faithfulness(task, held_out, None, go_on)
    named = {study.study_id for study in held_out.studies if NODULE in study.report.findings}
    assert {each.study.study_id for each in found.sided} == named
    assert {each.text for each in found.sided} == {NODULE}
    assert not torch.tensor([each.reading.follows for each in found.sided]).isnan().any()


def test_a_request_to_stop_is_heard(task: LanguageTask) -> None:
    with pytest.raises(Stopped):
        measure_faithfulness(task, task.reader(task.data.held_out), None, lambda: True)


def test_data_that_were_not_made_have_the_sides_alone(tiny: Tiny, tmp_path: Path) -> None:
    assert tiny.evaluate("grounding", tmp_path, "grounding.pictures=0") == 0
    metrics, rows = read(tmp_path)
    found = metrics["faithfulness"]
    assert "erased_falls" not in found
    assert 0 <= found["side_follows"]["value"] <= 1
    assert {row["erased_fall"] for row in rows} == {""}
    assert {row["side_right"] for row in rows if row["sentence"] == NODULE} <= {"0", "0.5", "1"}
