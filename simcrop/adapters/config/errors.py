"""One readable line from a pydantic error: the key, what is wrong with its value, what to write instead."""

import reprlib
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from simcrop.core.errors import ConfigError, one_line

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

_SYNONYMS = {
    "learning_rate": "train.lr",
    "epochs": "train.steps",
    "num_epochs": "train.steps",
    "batch": "train.batch_size",
    "batchsize": "train.batch_size",
    "workers": "data.num_workers",
    "num_worker": "data.num_workers",
    "num_workers": "data.num_workers",
}
"""What other programs call a key -> its name here, in the section where it usually is."""
_PROCESSES = {"gpus", "num_gpus", "devices", "num_devices"}
_MOST_NAMED = 5


def describe(error: ValidationError, root: type) -> tuple[str, str]:
    """(key, message naming the key) of the first thing wrong.

    Args:
        error: from validating a tree against `root`.
        root: the dataclass of the whole tree, for suggestions.
    """
    errors = error.errors(include_url=False)
    details = min(errors, key=lambda e: e["type"] != "unexpected_keyword_argument")
    location = _without_branch(details["loc"])
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        # core/recipe names keys relative to their top-level section
        message = f"{location[0]}.{cause}" if location else str(cause)
        return message.partition(":")[0], message
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{_short(part)}" for part in location).lstrip(".")
    words = [_words(e) for e in errors if e["type"] == "literal_error" and e["loc"][:-1] == location]
    return key, f"{key}: {_problem(details, root, words)}"


def why_invalid(error: Exception) -> str:
    """Why a file of ours is not read, in a few words: the first key that is wrong, or what the system or JSON says.

    Args:
        error: from reading the file, or from validating its content.
    """
    if not isinstance(error, ValidationError):
        return getattr(error, "strerror", None) or one_line(error) or type(error).__name__
    first = error.errors(include_url=False, include_context=False)[0]
    key = ascii(".".join(map(str, first["loc"])))[1:-1]
    return f"{key[:80]}: {one_line(ValueError(first['msg']))}" if key else one_line(ValueError(first["msg"]))


def _without_branch(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The place of a value in the tree: where one of several types is allowed, pydantic adds which one it tried."""
    return location[:-1] if location and location[-1] in ("int", "bool", "float") else location


def _problem(details: ErrorDetails, root: type, words: Sequence[str]) -> str:
    """What is wrong; `words` may be written instead of a value of the right type."""
    kind, context = details["type"], details.get("ctx", {})
    value = _short(details.get("input"))
    if kind == "unexpected_keyword_argument":
        return _unknown_key(details["loc"], root)
    if kind == "literal_error":
        return f"expected {_words(details)}, not {value}"
    if kind == "missing":
        return "a value is missing from the list"
    if kind == "too_long":
        return f"expected {context['max_length']} values, not {context['actual_length']}"
    expected = _EXPECTED.get(kind.partition("_")[0])
    return f"expected {' or '.join([expected, *words])}, not {value}" if expected else f"{details['msg']}, not {value}"


def _words(details: ErrorDetails) -> str:
    """The words that a value may be, where it has to be one of them."""
    return details.get("ctx", {}).get("expected", "").replace("'", "")


def _unknown_key(location: tuple[int | str, ...], root: type) -> str:
    section: Any = root
    for part in location[:-1]:
        section = get_type_hints(section).get(str(part))
    known = [f.name for f in fields(section)] if is_dataclass(section) else []
    key = str(location[-1])
    hint = _by_another_name(key.lower().replace("-", "_"), ".".join(map(str, location[:-1])), known)
    if hint is None and (close := get_close_matches(key, known, n=1)):
        hint = f"did you mean {close[0]}?"
    if hint is None:
        hint = f"known here: {', '.join([*known[:_MOST_NAMED], *(['...'] if len(known) > _MOST_NAMED else [])])}"
    return f"unknown key; {hint}"


def _by_another_name(key: str, section: str, known: Sequence[str]) -> str | None:
    """What a key means that other programs have, as a hint; None where it is none of those."""
    if key in _PROCESSES:
        return "a GPU is a process: torchrun --nproc-per-node N -m simcrop_cli train CONFIG"
    if key not in _SYNONYMS:
        return None
    usual_section, name = _SYNONYMS[key].split(".")
    steps = "simcrop counts steps, not epochs; " if name == "steps" else ""
    return f"{steps}did you mean {section if name in known and section else usual_section}.{name}?"


def _short(value: object, limit: int = 80) -> str:
    # A YAML alias inside an alias would be written out to gigabytes.
    text = " ".join((value if isinstance(value, str) else reprlib.repr(value)).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
