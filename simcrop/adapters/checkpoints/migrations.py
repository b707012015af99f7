"""Bring what earlier versions of simcrop have stored to the keys and values of this one.

version 1   without the number; up to 9c9e74b
version 2   keys have new names (`config.renamed`); `text_encoder.context` is always there
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcrop.adapters.config.renamed import RENAMED, renamed_keys
from simcrop.core.errors import CheckpointError

VERSION = 2
"""Stands in what is written now; goes up when a key of the configuration gets another name or meaning."""


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
    if version >= 2:
        return dict(config)
    tree, _ = renamed_keys(config)
    if "text_encoder" in tree:  # sentences were read amid the report
        tree["text_encoder"].setdefault("context", "report")
    return tree


def migrated_settings(settings: Mapping[str, Any], version: int) -> dict[str, Any]:
    """The same for settings by keys with dots."""
    names = RENAMED if version < 2 else {}
    return {names.get(key, key): value for key, value in settings.items()}
