"""CONTRIBUTING.md: every path that it names is there."""

import re

from support import REPOSITORY

PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:md|toml|yaml|yml|txt|cff))`")
GUIDE = (REPOSITORY / "CONTRIBUTING.md").read_text(encoding="utf-8")


def missing(text: str) -> list[str]:
    """Paths in backticks that lead to nothing in the repository; an upper-case part stands for any name."""
    paths = (path for path in PATH.findall(text) if not re.search(r"(^|/|_)[A-Z]+(\.|/|$)", path.removesuffix(".md")))
    return [path for path in paths if not (REPOSITORY / path).exists()]


def test_every_path_is_there() -> None:
    assert len(PATH.findall(GUIDE)) > 40
    assert missing(GUIDE) == []


def test_a_path_that_is_not_there_is_found() -> None:
    assert missing("`simcrop/core/ops.py` `tests/unit/test_NAME.py` `simcrop/gone.py` `gone.md`") == [
        "simcrop/gone.py",
        "gone.md",
    ]
