"""Fine-tuned classifiers on disk."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from simcrop.adapters.checkpoints.resume import training_store
from simcrop.adapters.evaluation.classification.files import (
    HeadLabels,
    fine_tuned,
    finished_fit,
    save_classifier,
)
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.evaluation.classifier import Classifier
from simcrop.core.evaluation.labels import LearnedFrom
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reference import REFERENCE

RECIPE = ModelRecipe(volume_size=(8, 8, 8), patch_size=(4, 4, 4), embed_dim=12, depth=1, num_heads=2)


ONE: Mapping[str, Any] = {"finetune.lr": 0.1, "labels.percent": 10}


def make(num_outputs: int = 2, *, frozen: bool = False) -> Classifier:
    return Classifier(VisionEncoder(RECIPE, REFERENCE), num_outputs, frozen=frozen)


def save(out: Path, classifier: Classifier, step: int = 7, settings: Mapping[str, Any] = ONE) -> None:
    save_classifier(
        out,
        classifier,
        step,
        HeadLabels(("A", "B"), False, LearnedFrom(5, 4, (2, 3)), (0.25, math.nan)),
        config={"name": "x"},
        metrics={"auroc": 0.75, "loss": 0.5},
        provenance={"git_commit": None, "settings": settings},
    )


def test_a_classifier_is_found_again_with_all_that_it_knows(tmp_path: Path) -> None:
    classifier = make()
    save(tmp_path, classifier)
    found = fine_tuned(tmp_path)
    assert found is not None
    assert (found.names, found.exclusive, found.learned_from) == (("A", "B"), False, LearnedFrom(5, 4, (2, 3)))
    assert found.thresholds[0] == 0.25
    assert math.isnan(found.thresholds[1])
    assert (found.checkpoint.step, found.checkpoint.manifest["metrics"]["auroc"]) == (7, 0.75)
    other = make()
    found.load_into(other)
    assert all(torch.equal(other.state_dict()[name], value) for name, value in classifier.state_dict().items())
    assert fine_tuned(tmp_path / "nothing") is None


def test_a_classifier_of_before_has_no_thresholds(tmp_path: Path) -> None:
    save(tmp_path, make())
    (manifest,) = tmp_path.glob("checkpoints/step_*/manifest.json")
    content = json.loads(manifest.read_text())
    assert content["classifier"].pop("thresholds") == [0.25, None]
    manifest.write_text(json.dumps(content))
    found = fine_tuned(tmp_path)
    assert found is not None
    assert found.thresholds == ()


@pytest.mark.parametrize(("names", "exclusive"), [(("A",), False), (("A", "C"), False), (("A", "B"), True)])
def test_other_labels_are_refused_with_both_lists(tmp_path: Path, names: tuple[str, ...], exclusive: bool) -> None:
    save(tmp_path, make())
    found = fine_tuned(tmp_path)
    assert found is not None
    found.require(("A", "B"), exclusive=False)
    kind = "exclusive classes" if exclusive else "findings"
    with pytest.raises(CheckpointError) as error:
        found.require(names, exclusive=exclusive)
    assert str(error.value) == (
        f"{tmp_path}/checkpoints/step_00000007: is a classifier of 2 findings (A, B), and the data have {len(names)} "
        f"{kind} ({', '.join(names)}); choose the same by labels.names and labels.task, or give its encoder a new head "
        "by finetune.new_head=true"
    )


def test_a_finished_fit_is_found_by_its_settings_and_refused_with_others(tmp_path: Path) -> None:
    assert finished_fit(tmp_path, ONE) is None
    save(tmp_path, make(), step=9)
    found = finished_fit(tmp_path, ONE)
    assert found is not None
    assert found.checkpoint.step == 9
    with pytest.raises(CheckpointError) as error:
        finished_fit(tmp_path, {**ONE, "finetune.lr": 0.5})
    assert str(error.value) == (
        f"finetune.lr: 0.5 differs from 0.1 in {tmp_path}/checkpoints/step_00000009; set it back, or train anew "
        "with another --out"
    )


def test_checkpoints_of_a_run_are_never_replaced(tmp_path: Path) -> None:
    store = training_store(tmp_path, {}, omit=(), start_step=0)
    store.save(4, make(), {})
    (tmp_path / "training").rename(tmp_path / "checkpoints")
    with pytest.raises(ConfigError, match=r"^--out .*: holds checkpoints of a run, which would be lost; name another"):
        finished_fit(tmp_path, ONE)
    assert (tmp_path / "checkpoints" / "step_00000004").is_dir()


def changed(out: Path, **changes: Any) -> None:
    """Let the manifest of a classifier say something else of its head."""
    path = out / "checkpoints/step_00000007/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["classifier"] |= changes
    path.write_text(json.dumps(manifest))


COUNTS = {"num_studies": 5, "num_patients": 4}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": []}, "0 labels, and other numbers of counts"),
        ({"labels": ["A"]}, "1 labels, and other numbers of counts"),
        ({"labels": ["A", "B", "C"]}, "3 labels, and other numbers of counts"),
        ({"exclusive": "no"}, "exclusive: Input should be a valid boolean"),
        ({"learned_from": {}}, "learned_from.num_studies: Field required"),
        ({"learned_from": COUNTS | {"num_positive": "ab"}}, "learned_from.num_positive: Input should be a valid list"),
        ({"thresholds": [0.5]}, "2 labels, and other numbers of counts or thresholds"),
        ({"thresholds": {}}, "thresholds: Input should be a valid list"),
    ],
)
def test_a_head_that_its_manifest_does_not_describe_is_refused(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    save(tmp_path, make())
    changed(tmp_path, **changes)
    with pytest.raises(CheckpointError, match=rf"manifest.json: damaged \({words}.*\); take another checkpoint$"):
        fine_tuned(tmp_path)


def test_a_head_has_as_many_rows_as_labels_and_the_width_of_its_encoder(tmp_path: Path) -> None:
    save(tmp_path, make())
    counts = COUNTS | {"num_positive": [1] * 9000}
    changed(tmp_path, labels=["A"] * 9000, learned_from=counts, thresholds=[])
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: has no head.weight of 9000 rows, one for each label"
    ):
        fine_tuned(tmp_path)
    changed(tmp_path, labels=["A", "B"], learned_from=COUNTS | {"num_positive": [1, 2]})
    found = fine_tuned(tmp_path)
    assert found is not None
    with pytest.raises(
        CheckpointError, match=r"does not belong to the model .*\(encoder.cls_token is \(1, 1, 12\), not"
    ):
        found.load_into(Classifier(VisionEncoder(replace(RECIPE, embed_dim=24), REFERENCE), 2, frozen=False))
