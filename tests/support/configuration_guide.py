"""Writes the tables of docs/configuration.md from the dataclasses: `make guides`."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from simcrop.adapters.config.settings import RunConfig, as_tree
from simcrop.core.recipe import PAPER, PRESETS
from support import REPOSITORY

GUIDE = REPOSITORY / "docs" / "configuration.md"
_START, _END = "<!-- tables -->\n", "<!-- end of tables -->\n"


def guide_text(guide: str) -> str:
    """The guide with its tables as they ought to be."""
    before, rest = guide.split(_START)
    return before + _START + "\n".join(_tables(RunConfig, "")) + _END + rest.split(_END)[1]


def _tables(section: type, prefix: str) -> Iterator[str]:
    hints = get_type_hints(section)
    docstrings = _docstrings(section)
    rows = [f.name for f in fields(section) if not is_dataclass(hints[f.name])]
    title = f"`{prefix[:-1]}`" if prefix else "top level"
    summary = re.sub(r" \(docs/method[^)]*\)", "", (inspect.getdoc(section) or "").splitlines()[0])
    yield f"## {title}\n\n{summary}\n\n| key | default | paper | vit_b | meaning |\n|---|---|---|---|---|"
    for name in rows:
        values = [_look_up(tree, f"{prefix}{name}") for tree in (as_tree(RunConfig()), PAPER, PRESETS["vit_b"])]
        yield f"| `{name}` | {' | '.join(values)} | {docstrings[name]} |"
    yield ""
    for f in fields(section):
        if is_dataclass(hints[f.name]):
            yield from _tables(hints[f.name], f"{prefix}{f.name}.")


def _docstrings(section: type) -> dict[str, str]:
    """Of every field, those of classes below it included."""
    return {name: text for each in reversed(section.__mro__[:-1]) for name, text in _own_docstrings(each).items()}


def _own_docstrings(section: type) -> dict[str, str]:
    body = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            assert isinstance(text, ast.Expr | ast.AnnAssign | ast.FunctionDef)
            is_docstring = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
            found[field.target.id] = " ".join(str(text.value.value).split()) if is_docstring else "a section, see below"
    return {name: text.replace("|", "\\|") for name, text in found.items()}


def _look_up(tree: Mapping[str, Any], path: str) -> str:
    value: Any = tree
    for part in path.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return ""
        value = value[part]
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(list(value)) if isinstance(value, tuple | list) else str(value)


if __name__ == "__main__":
    GUIDE.write_text(guide_text(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
