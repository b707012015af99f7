"""Old names of keys: refused with the new one where a person writes them, understood where an older version did."""

from pathlib import Path

import pytest

from simcrop.adapters.checkpoints.migrations import migrated
from simcrop.adapters.config.renamed import renamed_keys
from simcrop.adapters.config.settings import RunConfig, as_tree, config_from_tree, load_config
from simcrop.core.errors import ConfigError

OLD = {"segment": {"save_every": 7, "lr": 0.1}, "labels": {"bootstrap": 5, "confidence": 0.5}}
NEW = {"segment": {"checkpoint_every": 7, "lr": 0.1}, "labels": {}, "evaluation": {"bootstrap": 5, "confidence": 0.5}}


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [
        ("segment.save_every", "segment.checkpoint_every", "7"),
        ("labels.bootstrap", "evaluation.bootstrap", "5"),
        ("labels.confidence", "evaluation.confidence", "0.5"),
    ],
)
def test_an_old_name_is_refused_with_the_new_one(tmp_path: Path, old: str, new: str, value: str) -> None:
    section, key = old.split(".")
    path = tmp_path / "run.yaml"
    path.write_text("")
    with pytest.raises(ConfigError) as refused:
        load_config(path, [f"{old}={value}"])
    assert str(refused.value) == f"--set: {old}: is called {new} since 0.2"
    path.write_text(f"{section}: {{{key}: {value}}}")
    with pytest.raises(ConfigError) as refused:
        load_config(path)
    assert str(refused.value) == f"{path}: {old}: is called {new} since 0.2"
    path.write_text("")
    section, key = new.split(".")
    assert str(getattr(getattr(load_config(path, [f"{new}={value}"]), section), key)) == value


def test_what_an_older_version_has_written_is_read() -> None:
    assert renamed_keys(OLD)[0] == NEW
    assert OLD["labels"] == {"bootstrap": 5, "confidence": 0.5}, "the tree that was given stays"
    tree = as_tree(RunConfig())
    for section in ("segment", "labels"):
        tree[section] |= OLD[section]
    for section, key in (("segment", "checkpoint_every"), ("evaluation", "bootstrap"), ("evaluation", "confidence")):
        del tree[section][key]
    config = config_from_tree(migrated(tree, 1), "config.json")
    assert (config.segment.checkpoint_every, config.evaluation.bootstrap, config.evaluation.confidence) == (7, 5, 0.5)


def test_trees_of_other_shapes_are_left_to_whoever_checks_them() -> None:
    for tree in ({"labels": None}, {"segment": "x"}, {"labels": {"bootstrap": 3}, "evaluation": 4}, {}):
        now, _ = renamed_keys(tree)
        assert set(tree) <= set(now)
    assert renamed_keys({"labels": {"bootstrap": 3}, "evaluation": {"bootstrap": 4}})[0]["evaluation"]["bootstrap"] == 4
