"""Files that earlier versions stored are read as this one writes it."""

import copy
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from simcrop.adapters.checkpoints.migrations import (
    CAME_WITH,
    VERSION,
    NewerVersionError,
    migrated,
    migrated_settings,
    version_of,
)
from simcrop.adapters.checkpoints.resume import leaves
from simcrop.adapters.config.renamed import RENAMED
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, config_from_tree


@pytest.mark.parametrize(
    ("saved", "read"), [({}, "report"), ({"context": None}, None), ({"context": "report"}, "report")]
)
def test_before_sentences_were_read_apart_they_were_read_among_the_report(
    saved: dict[str, Any], read: str | None
) -> None:
    assert migrated({"text_encoder": saved}, 1)["text_encoder"]["context"] == read


@pytest.mark.parametrize("version", [1, 2])
def test_before_there_was_a_local_path_a_score_was_the_mean_of_the_best(version: int) -> None:
    old = {"model": {"depth": 2}, "objectives": {"late_interaction": {"top_k": 4}}}
    kept = copy.deepcopy(old)
    now = migrated(old, version)
    assert now["model"]["depth"] == 2
    assert now["model"]["local_patch_size"] is None
    assert now["objectives"] == {"late_interaction": {"top_k": 4, "pooling": "best"}}
    assert old == kept
    assert migrated({"objectives": {}}, version) == {"objectives": {}}


def test_a_paper_run_of_before_has_what_was_done_then_and_not_what_the_recipe_does_now() -> None:
    old = as_tree(RunConfig(recipe="paper"))
    for key in CAME_WITH[4]:
        *sections, name = key.split(".")
        del reduce(lambda tree, part: tree[part], sections, old)[name]
    config = config_from_tree(migrated(old, 3), "old")
    assert (config.model.patch_bias, config.train.decay_tokens, config.data.augment.scaling) == ("zero", False, "zoom")
    config = config_from_tree(old, "new")
    assert (config.model.patch_bias, config.train.decay_tokens, config.data.augment.scaling) == ("uniform", True, "cut")


def test_a_paper_run_of_before_has_its_sentences_and_its_separator() -> None:
    old = as_tree(RunConfig(recipe="paper"))
    del old["text_encoder"]["sentence_rule"], old["text_encoder"]["separator"]
    then, now = (config_from_tree(tree, "old").text_encoder for tree in (migrated(old, 4), old))
    assert (then.sentence_rule, then.separator) == ("simcrop", True)
    assert (now.sentence_rule, now.separator) == ("published", False)


@pytest.mark.parametrize("key", [key for keys in CAME_WITH.values() for key in keys])
def test_every_key_that_came_is_one_of_the_configuration(key: str) -> None:
    assert key in dict(leaves(as_tree(RunConfig())))


def test_keys_are_renamed_and_moved() -> None:
    old = {"segment": {"save_every": 3, "lr": 1}, "labels": {"bootstrap": 9, "percent": 5}, "evaluation": {"size": 2}}
    kept = copy.deepcopy(old)
    assert migrated(old, 1) == {
        "segment": {"lr": 1, "checkpoint_every": 3},
        "labels": {"percent": 5},
        "evaluation": {"size": 2, "bootstrap": 9},
    }
    assert old == kept
    assert migrated({"labels": {"confidence": 0.9}}, 1) == {"labels": {}, "evaluation": {"confidence": 0.9}}
    assert migrated_settings({"segment.save_every": 3, "seed": 0}, 1) == {"segment.checkpoint_every": 3, "seed": 0}


def test_what_this_version_wrote_stays_as_it_is() -> None:
    tree = {"text_encoder": {}, "segment": {"save_every": 3}}
    assert migrated(tree, VERSION) == tree
    assert migrated_settings({"segment.save_every": 3}, VERSION) == {"segment.save_every": 3}
    assert migrated({}, 1) == {}


def test_every_new_name_is_a_key_of_the_configuration_and_no_old_one_is() -> None:
    tree = as_tree(RunConfig())
    for old, new in RENAMED.items():
        (section, key), (new_section, new_key) = old.split("."), new.split(".")
        assert key not in tree[section]
        assert new_key in tree[new_section]


def test_a_later_version_is_refused_with_the_remedy() -> None:
    path = Path("run/manifest.json")
    assert version_of({}, path) == 1
    assert version_of({"version": VERSION}, path) == VERSION
    with pytest.raises(NewerVersionError) as error:
        version_of({"version": VERSION + 1}, path)
    assert str(error.value) == (
        f"run/manifest.json: is of version {VERSION + 1}, and this simcrop reads versions up to {VERSION}; "
        "update simcrop"
    )
