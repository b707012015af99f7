"""Masks for sentences and organs: `ground_truth/NAME/{sentences.json, *.nii.gz}`, NAME the volume's name.

    {"version": 1,
     "sentences": [{"text": "...", "finding": "Lung nodule" or null, "present": true, "mask": "03.nii.gz" or null}],
     "organs": {"left_lung": "left_lung.nii.gz"}}

Masks lie on any grid with an affine; voxels above 0 are inside.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcrop.adapters.nifti import read_volume
from simcrop.core.errors import DataError
from simcrop.core.study import SentenceTruth, Volume

VERSION = 1


@dataclass(frozen=True)
class GroundTruth:
    """What one folder says: sentences in the report's order, and organ name -> mask file."""

    sentences: tuple[SentenceTruth, ...] = ()
    organs: Mapping[str, str] = field(default_factory=dict[str, str])


def read_ground_truth(folder: Path) -> GroundTruth:
    """The folder's sentences and organs; empty where there is no such folder.

    Raises:
        DataError: if sentences.json is damaged, of another version, or names a mask outside the folder.
    """
    path = folder / "sentences.json"
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return GroundTruth()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not JSON ({error}); write it again") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise DataError(f"{path}: has no version {VERSION}; see docs/ground_truth.md for the format")
    organs = content.get("organs", {})
    try:
        sentences = tuple(_sentence(entry) for entry in content["sentences"])
        files: Sequence[Any] = [*(s.mask for s in sentences if s.mask is not None), *organs.values()]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: misses {error} in an entry; see docs/ground_truth.md for the format") from error
    for file in files:
        _refuse_path(path, file)
    return GroundTruth(sentences, organs)


def read_mask(folder: Path, name: str) -> Volume:
    """One mask of the folder on its own grid, RAS+ order."""
    _refuse_path(folder / "sentences.json", name)
    return read_volume(folder / name)


def _sentence(entry: Mapping[str, Any]) -> SentenceTruth:
    return SentenceTruth(str(entry["text"]), entry["finding"], bool(entry["present"]), entry["mask"])


def _refuse_path(path: Path, file: Any) -> None:
    if not isinstance(file, str) or Path(file).name != file or file in {"", ".", ".."}:
        raise DataError(f"{path}: names the mask {file!r}; it must be the name of a file in the same folder")
