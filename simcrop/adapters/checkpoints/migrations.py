"""Bring what earlier versions of simcrop have stored to the keys and values of this one.

version 1   without the number; up to 9c9e74b
version 2   keys have new names (`config.renamed`); `text_encoder.context` is always there
version 3   models may have a local path, and late interaction another pooling than the mean of the best
version 4   more of what the paper's authors do has keys of its own, which the `paper` recipe sets
version 5   likewise their sentences, and texts without a separator token
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

from simcrop.adapters.config.renamed import RENAMED, renamed_keys
from simcrop.core.errors import CheckpointError

VERSION = 5
"""Stands in what is written now; goes up when a key of the configuration gets another name or meaning."""


CAME_WITH: Mapping[int, Mapping[str, Any]] = {
    3: {"model.local_patch_size": None, "objectives.late_interaction.pooling": "best"},
    4: {
        "model.visible_rounding": "nearest",
        "model.patch_bias": "zero",
        "model.attention_dropout": 0.0,
        "objectives.alignment.padding_patches": "first",
        "train.decay_tokens": False,
        "train.warmup_from_zero": False,
        "data.augment.scaling": "zoom",
    },
    5: {"text_encoder.sentence_rule": "simcrop", "text_encoder.separator": True},
}
"""Version -> keys that came with it, and what was done until then, whatever the recipe."""


def added_since(version: int) -> dict[str, Any]:
    """Keys that a version did not have, and what it did."""
    return {key: then for since, keys in CAME_WITH.items() if since > version for key, then in keys.items()}


class NewerVersionError(CheckpointError):
    """Written by a later version of simcrop than this one."""


def version_of(content: Mapping[str, Any], path: Path) -> int:
    """The version that a JSON file of ours was written with.

    Args:
        content: of the file.
        path: of it, for messages.

    Raises:
        NewerVersionError: it is above `VERSION`.
    """
    version: int = content.get("version", 1)
    if version > VERSION:
        raise NewerVersionError(
            f"{path}: is of version {version}, and this simcrop reads versions up to {VERSION}; update simcrop"
        )
    return version


def migrated(config: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A configuration's tree as this version writes it.

    Args:
        config: nested dicts, as they were stored; stay as they are.
        version: that they were stored with.
    """
    tree = deepcopy(dict(config))
    if version < 2:
        tree, _ = renamed_keys(tree)
        if isinstance(tree.get("text_encoder"), dict):  # sentences were read amid the report
            tree["text_encoder"].setdefault("context", "report")
    for path, value in added_since(version).items():
        *sections, key = path.split(".")
        below: Any = reduce(_below, sections, tree)
        if isinstance(below, dict):
            below.setdefault(key, value)
    return tree


def _below(section: Any, name: str) -> Any:
    """What a section has of a name; nothing where it is none, which is refused when the whole tree is read."""
    return section.get(name) if isinstance(section, dict) else None


def migrated_settings(settings: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The same for settings by keys with dots."""
    names = RENAMED if version < 2 else {}
    return {names.get(key, key): value for key, value in settings.items()}
