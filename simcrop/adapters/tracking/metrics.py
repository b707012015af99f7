"""Write a step's numbers to metrics.jsonl, or to several sinks at once."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from simcrop.adapters.system.files import naming, replace_text
from simcrop.adapters.system.forcing import force, make_folders
from simcrop.adapters.system.outside_files import parse_json
from simcrop.core.ports import MetricSink


class JsonlMetrics:
    """One JSON object a line, each handed to the system as soon as it is written, and all forced to disk at the end.

    Before that whoever writes a checkpoint forces the rows behind it.

    A value that is not finite is written as null, since JSON has no word for it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        make_folders(path.parent)
        self._file = path.open("a", encoding="utf-8")
        force(path.parent)

    def write(self, row: Mapping[str, float | int]) -> None:
        """Append one row."""
        finite = {key: value if math.isfinite(value) else None for key, value in row.items()}
        with naming(self._path):
            self._file.write(json.dumps(finite) + "\n")
            self._file.flush()

    def rewind(self, step: int) -> None:
        """Drop the rows after `step`, and a last line that a kill left unfinished."""
        self._file.close()
        kept = [line for line in self._path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
        replace_text(self._path, "".join(f"{line}\n" for line in kept))
        self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Force the rows to disk, and close the file."""
        with naming(self._path), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def _step_of(line: str) -> float:
    try:
        return parse_json(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf


class FanOut:
    """Hands every row to several sinks, in their order; to none where there are none."""

    def __init__(self, sinks: Iterable[MetricSink]) -> None:
        self._sinks = tuple(sinks)

    def write(self, row: Mapping[str, float | int]) -> None:
        """Hand on."""
        for sink in self._sinks:
            sink.write(row)

    def rewind(self, step: int) -> None:
        """Hand on."""
        for sink in self._sinks:
            sink.rewind(step)

    def close(self) -> None:
        """Hand on."""
        for sink in self._sinks:
            sink.close()
