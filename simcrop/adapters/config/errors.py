"""One readable line from a pydantic error: the key, what is wrong with its value, what to write instead."""

import reprlib
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from simcrop.core.errors import ConfigError

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "tuple": "a list",
    "dataclass": "a section with keys below it",
}
"""What a pydantic error type (up to its first underscore) says was expected."""


def describe(error: ValidationError, root: type) -> tuple[str, str]:
    """(key, message naming the key) of the first thing wrong.

    Args:
        error: from validating a tree against `root`.
        root: the dataclass of the whole tree, for suggestions.
    """
    details = min(error.errors(include_url=False), key=lambda e: e["type"] != "unexpected_keyword_argument")
    location = details["loc"]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        # core/recipe.py names keys relative to their top-level section
        message = f"{location[0]}.{cause}" if location else str(cause)
        return message.partition(":")[0], message
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{_short(part)}" for part in location).lstrip(".")
    return key, f"{key}: {_problem(details, root)}"


def _problem(details: ErrorDetails, root: type) -> str:
    kind, context = details["type"], details.get("ctx", {})
    value = _short(details.get("input"))
    if kind == "unexpected_keyword_argument":
        return _unknown_key(details["loc"], root)
    if kind == "literal_error":
        return f"expected {context['expected'].replace(chr(39), '')}, not {value}"
    if kind == "missing":
        return "a value is missing from the list"
    if kind == "too_long":
        return f"expected {context['max_length']} values, not {context['actual_length']}"
    expected = _EXPECTED.get(kind.partition("_")[0])
    return f"expected {expected}, not {value}" if expected else f"{details['msg']}, not {value}"


def _unknown_key(location: tuple[int | str, ...], root: type) -> str:
    section: Any = root
    for part in location[:-1]:
        section = get_type_hints(section).get(str(part))
    known = [f.name for f in fields(section)] if is_dataclass(section) else []
    close = get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f"unknown key; did you mean {close[0]}?"
    return f"unknown key; known here: {', '.join(known)}"


def _short(value: object, limit: int = 80) -> str:
    # A YAML alias inside an alias would be written out to gigabytes.
    text = " ".join((value if isinstance(value, str) else reprlib.repr(value)).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
