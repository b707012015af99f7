"""What earlier versions stored is read as this one writes it."""

import copy
from pathlib import Path
from typing import Any

import pytest

from simcrop.adapters.checkpoints.migrations import (
    RENAMED,
    VERSION,
    NewerVersionError,
    migrated,
    migrated_settings,
    version_of,
)
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree

PAIRS = (("segment.often", "segment.every"), ("labels.draws", "evaluation.draws"))


@pytest.mark.parametrize(
    ("saved", "read"), [({}, "report"), ({"context": None}, None), ({"context": "report"}, "report")]
)
def test_before_sentences_were_read_apart_they_were_read_amid_the_report(
    saved: dict[str, Any], read: str | None
) -> None:
    assert migrated({"text_encoder": saved}, 1) == {"text_encoder": {"context": read}}


def test_keys_are_renamed_and_moved() -> None:
    old = {"segment": {"often": 3, "lr": 1}, "labels": {"draws": 9, "percent": 5}, "evaluation": {"size": 2}, "seed": 0}
    kept = copy.deepcopy(old)
    assert migrated(old, 1, PAIRS) == {
        "segment": {"lr": 1, "every": 3},
        "labels": {"percent": 5},
        "evaluation": {"size": 2, "draws": 9},
        "seed": 0,
    }
    assert old == kept
    assert migrated({"labels": {"draws": 9}}, 1, PAIRS) == {"labels": {}, "evaluation": {"draws": 9}}
    assert migrated_settings({"segment.often": 3, "seed": 0}, 1, PAIRS) == {"segment.every": 3, "seed": 0}


def test_what_this_version_wrote_stays_as_it_is() -> None:
    tree = {"text_encoder": {}, "segment": {"often": 3}}
    assert migrated(tree, VERSION, PAIRS) == tree
    assert migrated_settings({"segment.often": 3}, VERSION, PAIRS) == {"segment.often": 3}
    assert migrated({}, 1) == {}


def test_every_new_name_is_a_key_of_the_configuration_and_no_old_one_is() -> None:
    tree = as_tree(RunConfig())
    for old, new in RENAMED:
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
