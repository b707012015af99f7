"""Keys of a configuration that older versions called otherwise."""

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "segment.save_every": "segment.checkpoint_every",
    "labels.bootstrap": "evaluation.bootstrap",
    "labels.confidence": "evaluation.confidence",
}
"""Name before 0.2 -> name since."""


def renamed_keys(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A configuration's tree by the names of today, and the old names in it with the new ones.

    Args:
        tree: as a file holds it, valid or not; a new name in it wins.
    """
    now, found = {key: dict(value) if isinstance(value, Mapping) else value for key, value in tree.items()}, {}
    for old, new in RENAMED.items():
        (old_section, old_key), (section, key) = old.split("."), new.split(".")
        below = now.get(old_section)
        if isinstance(below, dict) and old_key in below:
            found[old] = new
            value = below.pop(old_key)
            there = now.setdefault(section, {})
            if isinstance(there, dict):
                there.setdefault(key, value)
    return now, found
