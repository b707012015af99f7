"""Bring what earlier versions of simcrop have stored to the keys and values of this one.

version 1   without the number; up to 9c9e74b
version 2   `RENAMED`; `text_encoder.context` is always there
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simcrop.core.errors import CheckpointError

VERSION = 2
"""Stands in what is written now; goes up when a key of the configuration gets another name or meaning."""
RENAMED: tuple[tuple[str, str], ...] = ()
"""Keys of version 1, with dots, and what version 2 calls them."""


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


def migrated(config: Mapping[str, Any], version: int, renamed: tuple[tuple[str, str], ...] = RENAMED) -> dict[str, Any]:
    """A configuration's tree as this version writes it.

    Args:
        config: nested dicts, as they were stored; stay as they are.
        version: that they were stored with.
        renamed: keys with dots, and what they are called now.
    """
    tree = {key: dict(value) if isinstance(value, Mapping) else value for key, value in config.items()}
    if version < 2:
        for old, new in renamed:
            (section, key), (new_section, new_key) = old.split("."), new.split(".")
            if key in tree.get(section, {}):
                tree.setdefault(new_section, {})[new_key] = tree[section].pop(key)
        if "text_encoder" in tree:  # sentences were read amid the report
            tree["text_encoder"].setdefault("context", "report")
    return tree


def migrated_settings(
    settings: Mapping[str, Any], version: int, renamed: tuple[tuple[str, str], ...] = RENAMED
) -> dict[str, Any]:
    """The same for settings by keys with dots."""
    names = dict(renamed) if version < 2 else {}
    return {names.get(key, key): value for key, value in settings.items()}
