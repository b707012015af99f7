"""Bring what earlier versions of simcrop have stored to the keys and values of this one.

version 1   without the number; up to 9c9e74b
version 2   keys have new names (`config.renamed`); `text_encoder.context` is always there
version 3   models may have a local path, and late interaction another pooling than the mean of the best
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import reduce
from pathlib import Path
from typing import Any

from simcrop.adapters.config.renamed import RENAMED, renamed_keys
from simcrop.core.errors import CheckpointError

VERSION = 3
"""Stands in what is written now; goes up when a key of the configuration gets another name or meaning."""


BEFORE_3: Mapping[str, Any] = {"model.local_patch_size": None, "objectives.late_interaction.pooling": "best"}
"""Keys that came with version 3, and what was done until then."""


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
        if "text_encoder" in tree:  # sentences were read amid the report
            tree["text_encoder"].setdefault("context", "report")
    if version < 3:
        for path, value in BEFORE_3.items():
            *sections, key = path.split(".")
            reduce(lambda section, name: section.get(name, {}), sections, tree).setdefault(key, value)
    return tree


def migrated_settings(settings: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The same for settings by keys with dots."""
    names = RENAMED if version < 2 else {}
    return {names.get(key, key): value for key, value in settings.items()}
