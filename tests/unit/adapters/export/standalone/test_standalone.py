"""Code that exports carry needs nothing of simcrop, and comes with the licence that it is under."""

import ast
import sys
from pathlib import Path

import pytest
from support import REPOSITORY

from simcrop.adapters.export import standalone

FILES = sorted(Path(str(standalone.__file__)).parent.glob("*.py"))
NEEDED = {"torch", "numpy", "nibabel", "transformers", "monai"}


def imported(code: str) -> set[str]:
    """First parts of the names of what code imports; a dot for a file beside it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + ("" if node.level else str(node.module).partition(".")[0]))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_imports_what_an_export_needs_alone(path: Path) -> None:
    assert imported(path.read_text()) - set(sys.stdlib_module_names) <= NEEDED | {"."}


def test_an_import_of_simcrop_would_be_seen() -> None:
    code = (
        "def f():\n    from simcrop.core import ops\nimport scipy.ndimage as n\nfrom ..b import c\nfrom .a import b\n"
    )
    assert imported(code) == {"simcrop", "scipy", "..", "."}


def test_its_licence_is_the_repositorys() -> None:
    assert (FILES[0].parent / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()
