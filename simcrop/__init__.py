"""SimCroP: pre-training of 3D vision transformers on chest CT volumes and their reports.

Importing this package is quick; what it offers is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcrop.adapters.formats.scan import read_scan
    from simcrop.compose import load_classifier, load_encoder, load_model, read_for
    from simcrop.core.reports.text import split_sentences

    __version__: str

__all__ = [
    "__version__",
    "load_classifier",
    "load_encoder",
    "load_model",
    "read_for",
    "read_scan",
    "split_sentences",
]

_HOMES = {
    "load_classifier": "simcrop.compose",
    "load_encoder": "simcrop.compose",
    "load_model": "simcrop.compose",
    "read_for": "simcrop.compose",
    "read_scan": "simcrop.adapters.formats.scan",
    "split_sentences": "simcrop.core.reports.text",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("simcrop")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
