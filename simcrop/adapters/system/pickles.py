"""Reasons why a torch file of weights was not read, in one line. It is a pickle, and a pickle can ask for any code."""

import re
from pickle import UnpicklingError

from simcrop.core.errors import one_line

_FORBIDDEN_NAME = re.compile(r"GLOBAL ([\w.]+)")


def why_unread(error: Exception) -> str:
    """What `torch.load(weights_only=True)`, or whoever calls it, failed of, without its advice to read unsafely."""
    message = " ".join(str(error).split())
    forbidden = _FORBIDDEN_NAME.search(message)
    if forbidden is not None:
        return f"its pickle asks for {forbidden[1]}, which was not run; only tensors and plain values are read"
    if isinstance(error, UnpicklingError):
        return "its pickle holds more than tensors, or is damaged"
    return getattr(error, "strerror", None) or one_line(error) or type(error).__name__
