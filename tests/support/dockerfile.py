"""The instructions of a Dockerfile, read well enough to look at them."""

import re
import shlex
from pathlib import Path


def instructions(path: Path) -> list[tuple[str, str]]:
    """(Name, rest) of every instruction; lines that go on are joined, comments are left out."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def environment(path: Path) -> dict[str, str]:
    """The variables of the last stage."""
    found: dict[str, str] = {}
    for name, rest in instructions(path):
        if name == "FROM":
            found = {}
        elif name == "ENV":
            found |= dict(part.split("=", 1) for part in shlex.split(rest))
    return found


def copied(path: Path) -> list[str]:
    """What is copied from the context."""
    found: list[str] = []
    for name, rest in instructions(path):
        if name == "COPY" and "--from=" not in rest:
            found += [word for word in rest.split() if not word.startswith("--")][:-1]
    return found
