"""Masks for sentences and organs: `ground_truth/NAME/{sentences.json, MASKS}`, NAME the volume's name.

    {"version": 1,
     "sentences": [{"text": "...", "finding": "Lung nodule" or null, "present": true, "mask": "03.nii.gz" or null}],
     "organs": {"left_lung": "left_lung.nii.gz"}}

A folder without that file, as TotalSegmentator writes it, holds masks of organs alone, each named after its organ.
Masks lie on any grid with an affine, in any format of `opening`; voxels above 0 are inside.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any

from simcrop.adapters.formats.opening import read_volume, suffix_of, without_suffix
from simcrop.adapters.problems.paths import data_files, is_file, is_folder
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.data.study import SentenceTruth, Volume
from simcrop.core.errors import DataError

VERSION = 1
_ENTRY: Mapping[str, type | UnionType] = {"text": str, "finding": str | None, "present": bool, "mask": str | None}
_FORM = '{"text": "...", "finding": "..." or null, "present": true or false, "mask": "NAME.nii.gz" or null}'
_ORGANS = '{"NAME": "NAME.nii.gz", ...}'
_SHOWN = 60
"""Characters of what a file holds that a message repeats."""


@dataclass(frozen=True)
class GroundTruth:
    """Content of one folder: sentences in the report's order, and organ name -> mask file."""

    sentences: tuple[SentenceTruth, ...] = ()
    organs: Mapping[str, str] = field(default_factory=dict[str, str])


def read_ground_truth(folder: Path) -> GroundTruth:
    """The folder's sentences and organs; empty where there is no such folder.

    Raises:
        DataError: if sentences.json is damaged, of another version or form, or names a mask outside the folder; or
            without it, two masks are of one organ.
    """
    path = folder / "sentences.json"
    try:
        content: Any = read_json(path)
    except FileNotFoundError:
        return GroundTruth(organs=_organs_by_name(folder))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not JSON ({error}); write it again") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise DataError(f"{path}: has no version {VERSION}; see docs/ground_truth.md for the format")
    entries, organs = content.get("sentences"), content.get("organs", {})
    if not isinstance(entries, list):
        wrong = f"has {_shown(entries)} as" if "sentences" in content else "misses"
        raise DataError(f"{path}: {wrong} 'sentences'; expected [{_FORM}, ...], see docs/ground_truth.md")
    if not isinstance(organs, dict):
        raise DataError(f"{path}: has {_shown(organs)} as 'organs'; expected {_ORGANS}, see docs/ground_truth.md")
    sentences = tuple(_sentence(path, number, entry) for number, entry in enumerate(entries, 1))
    for file in (*(sentence.mask for sentence in sentences if sentence.mask is not None), *organs.values()):
        _refuse_path(path, file)
    return GroundTruth(sentences, organs)


def read_mask(folder: Path, name: str) -> Volume:
    """One mask of the folder on its own grid, RAS+ order."""
    _refuse_path(folder / "sentences.json", name)
    return read_volume(folder / name)


def organ_files(folder: Path) -> tuple[Path, ...]:
    """The files that say where organs are, and their list."""
    masks = [folder / name for name in read_ground_truth(folder).organs.values()]
    return folder / "sentences.json", *masks, *(file for mask in masks if is_file(mask) for file in data_files(mask))


def _organs_by_name(folder: Path) -> dict[str, str]:
    """Organ -> mask file, of a folder without a list."""
    organs: dict[str, str] = {}
    names = sorted(path.name for path in folder.iterdir()) if is_folder(folder) else []
    for name in (name for name in names if suffix_of(name) and not name.startswith(".")):
        organ = without_suffix(name)
        if organ in organs:
            raise DataError(f"{folder}: holds {organs[organ]} and {name}, both of {organ}; keep one of them")
        organs[organ] = name
    return organs


def _sentence(path: Path, number: int, entry: Any) -> SentenceTruth:
    if not isinstance(entry, dict):
        wrong = f"is {_shown(entry)}"
    elif missing := [key for key in _ENTRY if key not in entry]:
        wrong = f"misses {missing[0]!r}"
    elif strange := [key for key, kind in _ENTRY.items() if not isinstance(entry[key], kind)]:
        wrong = f"has {_shown(entry[strange[0]])} as {strange[0]!r}"
    else:
        return SentenceTruth(*(entry[key] for key in _ENTRY))
    raise DataError(f"{path}: entry {number} of 'sentences' {wrong}; expected {_FORM}, see docs/ground_truth.md")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _refuse_path(path: Path, file: Any) -> None:
    if not isinstance(file, str) or Path(file).name != file or file in {"", ".", ".."}:
        raise DataError(f"{path}: names the mask {file!r}; it must be the name of a file in the same folder")
