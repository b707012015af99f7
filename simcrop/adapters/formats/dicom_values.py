"""Values of DICOM elements as they occur: decimal commas, numbers in the wrong representation, odd characters."""

import math
import struct
from typing import Any

from simcrop.adapters.formats.dicom_bytes import damage

_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "AT": "H", "OW": "H", "OB": "B"}
_AMBIGUOUS = {"US or SS": "US", "OB or OW": "OW", "US or OW": "US", "US or SS or OW": "US"}


class OddValueError(ValueError):
    """An element that holds no numbers."""


def text(dataset: Any, name: str) -> str:
    """The element as one line of text; empty where it is absent or cannot be read as text."""
    try:
        value = dataset.get(name)
        plain = "" if value is None else "\\".join(map(str, value)) if _is_list(value) else str(value)
    except damage():
        raw = _raw(dataset, name)
        plain = raw.decode("latin-1") if isinstance(raw, bytes) else ""
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())


def numbers(dataset: Any, name: str) -> tuple[float, ...]:
    """The element's numbers, a decimal comma among them; none where it is absent or empty.

    Raises:
        OddValueError: it holds something else; says what.
    """
    try:
        given = dataset.get_item(name)
    except damage() as error:
        raise OddValueError(f"has {name}, which cannot be read") from error
    value = getattr(given, "value", None)
    if given is None or value is None or value in ("", b""):
        return ()
    if isinstance(value, bytes):
        value = _from_bytes(name, given, value)
    values = list(value) if _is_list(value) else [value]
    try:
        return tuple(map(_number, values))
    except (ValueError, TypeError, OverflowError) as error:
        shown = "\\".join(map(str, values))[:80]
        raise OddValueError(f"has {name} = {shown!r}, which is no number") from error


def number(dataset: Any, name: str) -> float | None:
    """The first of the element's numbers, or None where there is none. Raises OddValueError as `numbers`."""
    return next(iter(numbers(dataset, name)), None)


def whole(dataset: Any, name: str) -> int | None:
    """The same as a whole number. Raises OddValueError where it is a fraction or infinite, too."""
    value = number(dataset, name)
    if value is None:
        return None
    if not math.isfinite(value) or value != round(value):
        raise OddValueError(f"has {name} = {value:g}; expected a whole number")
    return round(value)


def _from_bytes(name: str, given: Any, value: bytes) -> Any:
    """Numbers, or the texts of numbers, of bytes that pydicom has not yet looked at."""
    from pydicom.datadict import dictionary_VR

    kind = given.VR if given.VR not in (None, "UN") else dictionary_VR(given.tag)
    kind = _AMBIGUOUS.get(kind, kind)
    if kind in _TEXT or kind not in _BINARY:
        plain = value.decode("latin-1").strip(" \0\r\n\t")
        return plain.split("\\") if plain else []
    code = _BINARY[kind]
    count, rest = divmod(len(value), struct.calcsize(code))
    if rest or not count:
        raise OddValueError(f"has {name} of {len(value)} bytes, which are no numbers of the kind {kind}")
    return list(struct.unpack(f"{'<' if given.is_little_endian else '>'}{count}{code}", value))


def _number(value: Any) -> float:
    if not isinstance(value, str):
        return float(value)
    plain = value.strip(" \0\r\n\t").strip('"')
    return float(plain.replace(",", ".") if plain.count(",") == 1 and "." not in plain else plain)


def _is_list(value: Any) -> bool:
    return not isinstance(value, str | bytes) and hasattr(value, "__iter__")


def _raw(dataset: Any, name: str) -> Any:
    try:
        return getattr(dataset.get_item(name), "value", None)
    except damage():
        return None
