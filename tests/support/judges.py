"""Keeps the code that reads files and reports as it was under which versions: `cd tests && python -m support.judges`.

What was made of them is remembered under versions that are raised by hand, since looking at all files again takes
hours. So each module is kept by a digest, without comments, docstrings and layout: whoever changes one is asked about
the versions.
"""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from simcrop.adapters.loading import prepared
from simcrop.adapters.problems import verdicts
from simcrop.adapters.sources.indexing import entries
from simcrop.adapters.text import findings_cache
from simcrop.core.reports import reader
from support import REPOSITORY

KEPT = REPOSITORY / "tests" / "golden" / "judges.json"
_ROOMS = ("simcrop.adapters.formats", "simcrop.adapters.problems", "simcrop.core.reports")
VERSIONS: Mapping[str, tuple[int, str]] = {
    "simcrop/adapters/problems/verdicts.py": (verdicts.VERSION, "judged otherwise"),
    "simcrop/adapters/sources/indexing/entries.py": (entries.VERSION, "described otherwise by an index"),
    "simcrop/adapters/loading/prepared.py": (prepared.VERSION, "read as other voxels"),
    "simcrop/adapters/text/findings_cache.py": (findings_cache.VERSION, "divided into other sentences"),
}
"""The module with a version -> the version, and what becomes of a file when it is raised."""
_FROM = (*(f"{_ROOMS[0]}.{name}" for name in ("opening", "npz", "picture_slices")), entries.__name__, reader.__name__)
"""Modules by which files are opened, and reports divided."""


def judges_now() -> dict[str, Any]:
    """Versions, and the digest of each module, as `KEPT` has them where nothing has changed."""
    versions = {path: version for path, (version, _) in VERSIONS.items()}
    return {"versions": versions, "modules": {module: digest(_file(module)) for module in _reached(_FROM)}}


def digest(path: Path) -> str:
    """Of the code of a module, whatever its comments, docstrings and layout."""
    return digest_of(path.read_text(encoding="utf-8"))


def digest_of(code: str) -> str:
    """Of code, by its syntax tree; no field that a version of Python may lack counts where it is empty."""
    return hashlib.sha256(json.dumps(_plain(ast.parse(code))).encode()).hexdigest()[:16]


def _plain(node: Any) -> Any:
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return [type(node).__name__, *([name, value] for name, value in fields if value not in ("None", []))]
    if isinstance(node, list):
        return [_plain(item) for item in node if not _is_docstring(item)]
    return repr(node)


def _is_docstring(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _reached(modules: Sequence[str]) -> Sequence[str]:
    """Modules of the rooms that these import, directly or not, and themselves, by name."""
    found = set[str]()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [name for name in _imported(_file(module)) if name.startswith(_ROOMS)]
    return sorted(found)


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def _file(module: str) -> Path:
    return REPOSITORY / (module.replace(".", "/") + ".py")


if __name__ == "__main__":
    KEPT.write_text(json.dumps(judges_now(), indent=1) + "\n", encoding="utf-8")
