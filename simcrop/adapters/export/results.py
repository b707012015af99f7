"""Results of a checkpoint: the summary of its run, and the evaluations that lie in the run's folder."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.encoder_file import Trained
from simcrop.adapters.system.outside_files import read_json

_log = logging.getLogger("simcrop")


@dataclass(frozen=True)
class RunResults:
    """Results that belong to one checkpoint and to no other of its run.

    Attributes:
        summary: content of summary.json, empty where it speaks of another step or is missing.
        evaluations: contents of metrics.json, by the folder below `eval`.
    """

    summary: Mapping[str, Any]
    evaluations: Mapping[str, Mapping[str, Any]]


def results_of(checkpoint: Trained) -> RunResults:
    """The results beside a checkpoint; none where it lies in no run folder."""
    if checkpoint.path.parent.name != "checkpoints":
        return RunResults({}, {})
    run = checkpoint.path.parent.parent
    summary = _read(run / "summary.json")
    evaluations: dict[str, Mapping[str, Any]] = {}
    for path in sorted((run / "eval").rglob("metrics.json")):
        content = _read(path)
        about = content.get("checkpoint")
        if isinstance(about, Mapping) and about.get("sha256") == checkpoint.sha256:
            evaluations[path.parent.relative_to(run / "eval").as_posix()] = content
        else:
            _log.info("%s: left out, it was not measured on these weights", path)
    return RunResults(summary if summary.get("step") == checkpoint.step else {}, evaluations)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
