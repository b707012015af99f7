"""Tests know a module by its public names: none patches, reads or imports a private one of simcrop."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import REPOSITORY

TESTS = REPOSITORY / "tests"
PATH = re.compile(r"\b[a-z]\w*\._[a-z]\w*", re.IGNORECASE)
"""A private name at the end of a path, in text that is a target of a patch or a program."""
OF_NAMED_TUPLES = {"_asdict", "_replace", "_fields"}
OWN = {"self", "cls"}
"""A fake or a subclass may have private names of its own."""


def is_private(name: str) -> bool:
    """A name that ends in an underscore too is somebody else's protocol, such as Python's or a notebook's."""
    return name.startswith("_") and not name.endswith("_") and name not in OF_NAMED_TUPLES


def private_names(code: str) -> Iterator[tuple[int, str]]:
    """(line, private name) wherever a test reaches into what it tests."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in OWN):
                yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in ("simcrop", "simcrop_cli"):
            yield from ((node.lineno, name.name) for name in node.names if is_private(name.name))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr"):
            given = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            yield from ((node.lineno, name) for name in given if is_private(name))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((node.lineno, name) for name in PATH.findall(node.value))


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_reaches_for_a_private_name(path: Path) -> None:
    if path != Path(__file__):
        assert list(private_names(path.read_text(encoding="utf-8"))) == []


def test_every_way_to_reach_for_one_is_found() -> None:
    code = """
from simcrop.core.model import Model, _helper
class Fake(Model):
    def read(self): return self._root
monkeypatch.setattr("simcrop.core.model._LIMIT", 3)
monkeypatch.setattr(model, "_limit", 3)
program = "model._limit = 3"
model._limit
model.part()._limit.size
found._asdict(), model.__dict__, "a_b.c_d", "_fixed"
"""
    assert list(private_names(code)) == [
        (2, "_helper"),
        (6, "_limit"),
        (7, "model._limit"),
        (8, "_limit"),
        (5, "model._LIMIT"),
        (9, "_limit"),
    ]
