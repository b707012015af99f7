"""YAML as text: scalars stay strings, so that one place (settings.py) decides what type a key has.

YAML 1.1 reads `1e-3` as text and `no` as a boolean; here both arrive as written, and pydantic turns them into what the
key asks for. Tags are ignored, so a file can construct nothing but text, lists and mappings.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from simcrop.core.errors import ConfigError

_NULLS = {"", "~", "null", "Null", "NULL"}


class _TextLoader(yaml.BaseLoader):
    """Plain nulls become None; a key written twice is refused instead of losing its first value."""

    def construct_scalar(self, node: yaml.Node) -> str | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        value = super().construct_scalar(node)  # pyright: ignore[reportArgumentType]
        return None if getattr(node, "style", "") is None and value in _NULLS else str(value)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else None)
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, where: str) -> Any:
    """Mappings, lists, strings and None that a YAML text describes.

    Args:
        text: one YAML document.
        where: file or option that it came from, for messages.

    Raises:
        ConfigError: not YAML; names `where` and the line.
    """
    try:
        return yaml.load(text, _TextLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: {_describe(error)}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested too deeply to be a configuration") from error


class _Dumper(yaml.SafeDumper):
    """Lists of numbers on one line."""


_Dumper.add_representer(
    list, lambda dumper, items: dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)
)


def format_yaml(tree: Any) -> str:
    """YAML text of nested dicts, lists and plain values, keys in their order."""
    return yaml.dump(tree, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _describe(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())
    line = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{line}not valid YAML ({problem}); check indentation, colons and brackets there"
