"""Writes docs/api.md from signatures and docstrings: `make guides`."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import simcrop
from simcrop import compose, kernels
from simcrop.adapters.formats.scan import Scan
from simcrop.adapters.sources.base import Source
from simcrop.compose.looking import SentenceMap
from simcrop.compose.trained import TrainedClassifier, TrainedModel
from simcrop.compose.trained_encoder import TrainedEncoder
from simcrop.core import reference
from simcrop.core.data.study import Report, SentenceTruth, Study, Volume
from simcrop.core.ops import Ops
from support import REPOSITORY

GUIDE = REPOSITORY / "docs" / "api.md"
_START, _END = "<!-- api -->\n", "<!-- end of api -->\n"
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Source):\s*(.*)$")
_LISTS = {"Args", "Attributes", "Raises"}
_ENTRY = re.compile(r"    ([\w, *`]+): (.*)")

_OPERATIONS = [field.name for field in fields(Ops) if field.name != "name"]


def _named(module: str, home: Any, names: Sequence[str]) -> dict[str, Any]:
    return {f"{module}.{name}": getattr(home, name) for name in names}


PARTS: dict[str, dict[str, Any]] = {
    "Loading and reading": _named("simcrop", simcrop, [name for name in simcrop.__all__ if name[0] != "_"]),
    "What loading gives": {each.__name__: each for each in (TrainedModel, TrainedEncoder, TrainedClassifier)},
    "Scans, volumes and maps": {each.__name__: each for each in (Scan, Volume, SentenceMap)},
    "A data set of one's own": {each.__name__: each for each in (Source, Study, Report, SentenceTruth)},
    "Runs": _named("simcrop.compose", compose, ["train", "checkpoint_identity"]),
    "Operations, as they are defined": _named("simcrop.core.reference", reference, _OPERATIONS),
    "Operations, as kernels": _named("simcrop.kernels", kernels, [*_OPERATIONS, "MaskedPatchEmbed3d", "accelerate_"]),
}
"""Heading -> name -> what it documents."""
_METHODS = {
    "TrainedModel": ("embed", "encode_text", "zero_shot", "predict", "locate", "patch_features", "sentence_features"),
    "TrainedEncoder": ("embed", "encode"),
    "TrainedClassifier": ("predict",),
    "SentenceMap": ("values", "affine", "cosine", "best_mm", "best_voxel", "to_nibabel", "figure"),
    "Volume": ("spacing_mm",),
    "Source": ("build", "studies", "volume_file", "files", "read_volume"),
}


def guide_text(guide: str) -> str:
    """The guide with its entries as they ought to be."""
    before, rest = guide.split(_START)
    return before + _START + "\n".join(_parts()) + "\n" + _END + rest.split(_END)[1]


def _parts() -> Iterator[str]:
    for title, entries in PARTS.items():
        yield f"\n## {title}"
        for name, each in entries.items():
            yield from _entry(f"### {name}", name, each)
            for method in _METHODS.get(name, ()):
                yield from _entry(f"#### {name}.{method}", method, inspect.getattr_static(each, method))


def _entry(heading: str, name: str, each: Any) -> Iterator[str]:
    yield f"\n{heading}\n"
    documented = each.__func__ if isinstance(each, classmethod) else each
    if inspect.isfunction(documented):
        yield f"```python\n{name}{_signature(documented)}\n```\n"
    yield from _described(inspect.getdoc(documented) or "")


def _signature(function: Any) -> str:
    """As its source has it, without self; an argument a line where it is long."""
    definition = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(definition, ast.FunctionDef)
    taken = definition.args
    taken.args = [each for each in taken.args if each.arg not in {"self", "cls"}]
    returned = "" if definition.returns is None else f" -> {ast.unparse(definition.returns)}"
    text = ", ".join(_top_level(ast.unparse(taken)))
    if len(text) + len(returned) > 70:
        text = "".join(f"\n    {each}," for each in _top_level(text)) + "\n"
    return f"({text}){returned}"


def _top_level(text: str) -> list[str]:
    """What commas outside of brackets divide."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [re.sub(r"^(\w+: [^=]*[^= ])=", r"\1 = ", part.strip()) for part in parts]


def _described(docstring: str) -> Iterator[str]:
    """A docstring as Markdown: its sections become lists, but for what is returned and where it is from."""
    section = ""
    for line in docstring.splitlines():
        found = _SECTION.match(line)
        entry = _ENTRY.match(line) if section in _LISTS else None
        if found is not None:
            section = found[1]
            yield f"**{section}** {found[2]}".rstrip() + ("\n" if section in _LISTS else "")
        elif entry is not None:
            yield f"- `{entry[1].strip('`')}`: {entry[2]}"
        elif section in _LISTS and re.match(r"    \S", line):
            yield f"- {line.strip()}"
        else:
            yield f"  {line.strip()}" if section in _LISTS and line.strip() else line.strip()


if __name__ == "__main__":
    GUIDE.write_text(guide_text(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
