"""Figures of finished cells, kept in the repository: pages are written from them, other machines go on with them."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from measuring import hardware

from simcrop.adapters.system.files import replace_text

_DIGITS = 6


@dataclass(frozen=True)
class Kept:
    """One file: the configuration that all cells share, and for each its command, figures and hardware.

    Attributes:
        path: of the JSON file.
        configuration: the YAML file that every command starts from; figures of another are refused.
    """

    path: Path
    configuration: Path
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def read(self, key: str, command: Sequence[str]) -> dict[str, Any] | None:
        """Figures of a cell, or None where there are none yet.

        Raises:
            ValueError: another configuration or command made them.
        """
        content = self._content()
        cell = content["cells"].get(key)
        if cell is None:
            return None
        if content["configuration"] != self._now() or cell["command"] != list(command):
            raise ValueError(f"{self.path}: {key} was made by other settings; delete it there to make it anew")
        return cell["figures"]

    def write(self, key: str, command: Sequence[str], figures: Mapping[str, Any]) -> None:
        """Keep the figures of a cell; several threads may do so at once.

        Raises:
            ValueError: another configuration made the figures that are there.
        """
        with self._lock:
            content = self._content()
            if not content["cells"]:
                content["configuration"] = self._now()
            if content["configuration"] != self._now():
                raise ValueError(f"{self.path}: was made by other settings; delete it to make all of it anew")
            content["cells"][key] = {"command": list(command), "hardware": hardware(), "figures": _rounded(figures)}
            content["cells"] = dict(sorted(content["cells"].items()))
            replace_text(self.path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def hardware(self) -> str:
        """What the cells ran on, each kind of machine once."""
        return "; ".join(sorted({cell["hardware"] for cell in self._content()["cells"].values()}))

    def _now(self) -> Any:
        return yaml.safe_load(self.configuration.read_text(encoding="utf-8"))

    def _content(self) -> dict[str, Any]:
        if not self.path.exists():
            return {"configuration": None, "cells": {}}
        return json.loads(self.path.read_text(encoding="utf-8"))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {key: _rounded(part) for key, part in value.items()}  # pyright: ignore[reportUnknownVariableType]
    return value
