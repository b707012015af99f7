"""The first words of a module: it says what it does, by a verb or a noun, and never asks."""

import ast
from pathlib import Path

import pytest
from support import REPOSITORY

FOLDERS = ("simcrop", "cli", "benchmarks", "tests")
QUESTIONS = {"What", "Where", "How", "Which", "Who", "Whether", "Why"}
MODULES = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))


def begins_with_a_question(code: str) -> bool:
    """Whether the docstring of a module begins with a word that asks."""
    first = (ast.get_docstring(ast.parse(code)) or "").split(maxsplit=1)[:1]
    return first != [] and first[0].rstrip(":,") in QUESTIONS


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_module_begins_with_a_question(path: Path) -> None:
    assert not begins_with_a_question(path.read_text(encoding="utf-8"))


def test_a_question_is_found() -> None:
    assert begins_with_a_question('"""What a run leaves."""\nimport torch\n')
    assert begins_with_a_question('# a comment\n"""\nWhere, in a scan."""\n')
    assert not begins_with_a_question('"""Whatever a run leaves."""\n')
    assert not begins_with_a_question('import torch\n"""What a run leaves."""\n')
    assert not begins_with_a_question("")
