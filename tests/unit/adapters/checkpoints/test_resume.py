"""The checkpoint that a run, or the training of an evaluation, continues from; changes that are refused."""

from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import set_version
from torch import nn

from simcrop.adapters.checkpoints.migrations import added_since
from simcrop.adapters.checkpoints.resume import (
    as_begun,
    check_data,
    check_unchanged,
    deciding,
    is_finished,
    leaves,
    remove_training,
    starting_point,
    training_store,
    unfinished_training,
)
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, config_from_tree
from simcrop.core.errors import CheckpointError

CONFIG: dict[str, Any] = {
    "name": "a",
    "seed": 0,
    "data": {"root": "x", "num_workers": 0, "prepared": "p", "prepared_size": [4, 4, 4], "augment": {"flip": 0.0}},
    "model": {"depth": 2},
    "objectives": {"alignment": {"top_k": 8}},
    "text_encoder": {"source": "scratch", "context": None},
    "train": {"steps": 10},
}


def changed(key: str, value: object) -> dict[str, Any]:
    section, *path = key.split(".")
    tree: dict[str, Any] = {k: dict(v) if isinstance(v, dict) else v for k, v in CONFIG.items()}
    if not path:
        return tree | {section: value}
    inner = tree[section]
    for part in path[:-1]:
        inner[part] = dict(inner[part])
        inner = inner[part]
    inner[path[-1]] = value
    return tree


def save(out: Path, *steps: int, config: Mapping[str, Any] = CONFIG) -> None:
    store = FolderCheckpoints(
        out / "checkpoints",
        keep=9,
        config=config,
        tokenizer={},
        provenance={"data_fingerprint": "abc"},
    )
    for step in steps:
        store.save(step, nn.Linear(1, 1), {"optimizer": {}})


def test_auto_takes_the_newest_or_begins(tmp_path: Path) -> None:
    assert starting_point(tmp_path / "absent", "auto", CONFIG) is None
    save(tmp_path, 2, 4)
    start = starting_point(tmp_path, "auto", CONFIG)
    assert start is not None
    assert start.step == 4


def test_a_fine_tuned_classifier_is_no_run(tmp_path: Path) -> None:
    about = {"classifier": {"labels": ["Emphysema"]}}
    store = FolderCheckpoints(tmp_path / "checkpoints", keep=2, config=CONFIG, tokenizer={}, provenance=about)
    store.save(4, nn.Linear(1, 1), {})
    for out, resume in ((tmp_path, "auto"), (tmp_path / "other", str(tmp_path))):
        with pytest.raises(CheckpointError, match=r"^\S+step_00000004: holds a fine-tuned classifier, no text side; .*"
                           r"another --out, and start from its encoder with model.init$"):  # fmt: skip
            starting_point(out, resume, CONFIG)


def test_never_refuses_a_folder_that_holds_a_run(tmp_path: Path) -> None:
    assert starting_point(tmp_path, "never", CONFIG) is None
    save(tmp_path, 4)
    with pytest.raises(CheckpointError, match=r"holds a run at step 4.*another --out, or --resume auto"):
        starting_point(tmp_path, "never", CONFIG)


def test_a_named_checkpoint_starts_a_new_folder_or_is_the_newest_of_this_one(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    save(run, 2, 4)
    older, newest = (str(run / "checkpoints" / name) for name in ("step_00000002", "step_00000004"))
    for out, resume, step in [(other, older, 2), (other, str(run), 4), (run, newest, 4)]:
        start = starting_point(out, resume, CONFIG)
        assert start is not None
        assert start.step == step
    with pytest.raises(CheckpointError, match=r"holds a run at step 4; to branch off from .*2 choose another --out"):
        starting_point(run, older, CONFIG)
    with pytest.raises(CheckpointError, match="no such folder"):
        starting_point(other, str(tmp_path / "absent"), CONFIG)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 1),
        ("model.depth", 3),
        ("objectives.alignment.top_k", 4),
        ("data.root", "y"),
        ("data.augment.flip", 0.5),
        ("data.prepared_size", [5, 5, 5]),
        ("text_encoder.source", "a/b"),
    ],
)
def test_what_decides_the_result_may_not_change(tmp_path: Path, key: str, value: object) -> None:
    save(tmp_path, 4)
    message = rf"^{key}: .* differs from .* in .*step_00000004; set it back, or train anew with another --out"
    with pytest.raises(CheckpointError, match=message.replace("[", r"\[")):
        starting_point(tmp_path, "auto", changed(key, value))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "b"),
        ("train.steps", 20),
        ("data.num_workers", 2),
        ("data.prepared", "q"),
        ("text_encoder.keep_findings", False),
    ],
)
def test_the_rest_may(tmp_path: Path, key: str, value: object) -> None:
    save(tmp_path, 4)
    assert starting_point(tmp_path, "auto", changed(key, value)) is not None


def test_a_key_that_an_older_version_did_not_know_is_no_change(tmp_path: Path) -> None:
    save(tmp_path, 4)
    start = starting_point(tmp_path, "auto", changed("model.new_key", 1))
    assert start is not None
    smaller = changed("model.depth", 2)
    del smaller["model"]["depth"]
    with pytest.raises(CheckpointError, match=r"^model.depth: None differs from 2"):
        check_unchanged(start, smaller)


def test_other_studies_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 4)
    start = starting_point(tmp_path, "auto", CONFIG)
    assert start is not None
    check_data(start, "abc")
    with pytest.raises(CheckpointError, match=r"^data: the studies, .* differ from those behind"):
        check_data(start, "abd")


def test_finished_means_all_steps_and_a_summary_in_this_folder(tmp_path: Path) -> None:
    save(tmp_path, 4)
    start = starting_point(tmp_path, "auto", CONFIG)
    assert start is not None
    assert not is_finished(tmp_path, start, 4)
    (tmp_path / "summary.json").write_text("{}")
    assert is_finished(tmp_path, start, 4)
    assert not is_finished(tmp_path, start, 5)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "summary.json").write_text("{}")
    assert not is_finished(tmp_path / "other", start, 4)


ONE: Mapping[str, Any] = {"finetune.lr": 0.1, "labels.percent": 10, "segment.roi_size": (8, 8, 4)}


def make() -> nn.Module:
    return nn.ModuleDict({"encoder": nn.Linear(2, 2), "head": nn.Linear(2, 1)})


def test_the_state_of_a_fit_is_continued_by_the_same_fit_alone(tmp_path: Path) -> None:
    classifier = make()
    store = training_store(tmp_path, ONE, omit=("encoder.",), start_step=0)
    state: dict[str, Any] = {"num_worse": 1, "optimizer": {}}
    store.save(2, classifier, state)
    found = unfinished_training(tmp_path, ONE)
    assert found is not None
    assert (found.step, found.training_state()) == (2, state)
    assert set(found.weights()) == {"head.weight", "head.bias"}
    with pytest.raises(
        CheckpointError, match=r"^labels\.percent: None differs from 10 in .*training/step_00000002; set"
    ):
        unfinished_training(tmp_path, {key: ONE[key] for key in ("finetune.lr", "segment.roi_size")})
    assert unfinished_training(tmp_path, ONE) is not None
    remove_training(tmp_path)
    assert not (tmp_path / "training").exists()
    assert unfinished_training(tmp_path, ONE) is None


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"finetune.lr": 0.2}, r"^finetune\.lr: 0\.2 differs from 0\.1 in .*; set it back, or train anew with another"),
        ({"segment.roi_size": (8, 8, 8)}, r"^segment\.roi_size: \(8, 8, 8\) differs from \[8, 8, 4\]"),
        ({"segment.new": 1}, r"^segment\.new: 1 differs from None"),
        ({"finetune.min_lr": 1e-5}, r"^finetune\.min_lr: 1e-05 differs from 0\.0 in"),
    ],
)
def test_other_settings_are_refused_by_key(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    training_store(tmp_path, ONE, omit=(), start_step=0).save(2, make(), {"num_worse": 1})
    with pytest.raises(CheckpointError, match=message):
        unfinished_training(tmp_path, {**ONE, **changed})


def test_a_key_that_came_later_has_its_default(tmp_path: Path) -> None:
    training_store(tmp_path, ONE, omit=(), start_step=0).save(2, make(), {"num_worse": 1})
    assert unfinished_training(tmp_path, {**ONE, "finetune.min_lr": 0.0, "finetune.betas": (0.9, 0.999)}) is not None


def test_a_damaged_state_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    store = training_store(tmp_path, ONE, omit=(), start_step=0)
    for step in (2, 4):
        store.save(step, make(), {"w": torch.ones(2)})
    newest = tmp_path / "training" / "step_00000004" / "model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-10])
    found = unfinished_training(tmp_path, ONE)
    assert found is not None
    assert found.step == 2


def test_a_run_begun_before_there_was_a_local_path_goes_on_without_one(tmp_path: Path) -> None:
    tree = as_tree(config_from_tree({}, "here"))
    older = {**tree, "model": {key: value for key, value in tree["model"].items() if not key.startswith("local_")}}
    older["objectives"] = {**tree["objectives"], "late_interaction": {"top_k": 4}}
    tree["objectives"]["late_interaction"]["top_k"] = 4
    save(tmp_path, 3, config=older)
    set_version(tmp_path / "checkpoints" / "step_00000003", 2)
    config = config_from_tree(tree, "here")
    start = starting_point(tmp_path, "auto", tree)
    assert start is not None
    begun = as_begun(config, start)
    assert (begun.model.local, begun.objectives.late_interaction.pooling) == (None, "best")
    assert begun.objectives.late_interaction.top_k == 4
    asked = replace(config, model=replace(config.model, local_patch_size=(6, 6, 3)))
    with pytest.raises(CheckpointError, match=r"model.local_patch_size: \[6, 6, 3\] differs from None"):
        starting_point(tmp_path, "auto", as_tree(asked))


@pytest.mark.parametrize("version", [3, 4])
def test_a_paper_run_begun_before_goes_on_as_it_began(tmp_path: Path, version: int) -> None:
    config = config_from_tree({"recipe": "paper"}, "here")
    older = as_tree(config)
    for key in added_since(version):
        *sections, name = key.split(".")
        del reduce(lambda below, part: below[part], sections, older)[name]
    save(tmp_path, 3, config=older)
    set_version(tmp_path / "checkpoints" / "step_00000003", version)
    start = starting_point(tmp_path, "auto", as_tree(config))
    assert start is not None
    begun = dict(leaves(as_tree(as_begun(config, start))))
    assert {key: begun[key] for key in added_since(version)} == added_since(version)
    asked = replace(config, data=replace(config.data, augment=replace(config.data.augment, scale=(0.5, 1.0))))
    with pytest.raises(CheckpointError, match=r"data\.augment\.scale"):
        starting_point(tmp_path, "auto", as_tree(asked))


def test_a_run_of_this_version_keeps_what_it_is_told(tmp_path: Path) -> None:
    save(tmp_path, 3, config=as_tree(RunConfig()))
    start = starting_point(tmp_path, "auto", as_tree(RunConfig()))
    assert start is not None
    assert as_begun(RunConfig(), start) == config_from_tree(as_tree(RunConfig()), "here")


@pytest.mark.parametrize(
    ("before", "now"),
    [({}, {"a": ["x"]}), ({"a": ["x"]}, {}), ({"a": ["x"]}, {"a": ["x"], "b": ["y"]}), ({"a": ["x"]}, {"b": ["x"]})],
)
@pytest.mark.parametrize("key", ["objectives.organ_shares.classes", "data.options"])
def test_a_mapping_of_free_names_is_one_value(tmp_path: Path, key: str, before: object, now: object) -> None:
    section, *path = key.split(".")

    def tree(value: object) -> dict[str, Any]:
        below = reduce(lambda inner, name: {name: inner}, reversed(path), value)
        return {**CONFIG, section: {**CONFIG[section], **below}}  # type: ignore[dict-item]

    save(tmp_path, 2, config=tree(before))
    start = starting_point(tmp_path, "auto", tree(before))
    assert start is not None
    with pytest.raises(CheckpointError, match=rf"^{key}: .* differs from .*; set it back, or train anew"):
        starting_point(tmp_path, "auto", tree(now))


def test_ranks_must_share_what_decides_the_training_but_no_paths() -> None:
    told = deciding(RunConfig())
    assert {"seed", "train.lr", "train.steps", "data.source", "data.prepared_shared", "model.depth"} <= told.keys()
    assert not {"name", "data.prepared", "train.device", "data.num_workers"} & told.keys()
    data = replace(RunConfig().data, prepared=Path("elsewhere"), num_workers=3)
    here = replace(RunConfig().model, init="/nfs/weights/mae.pth")
    there = replace(RunConfig().model, init="weights/mae.pth")
    assert deciding(replace(RunConfig(), data=data, model=here)) == deciding(replace(RunConfig(), model=there))
    assert deciding(replace(RunConfig(), model=here)) != deciding(RunConfig())
