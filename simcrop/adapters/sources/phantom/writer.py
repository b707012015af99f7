"""Phantom studies as files in CT-RATE's layout: whole or not at all, the same content for the same seed, resumable."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.nifti import nifti_bytes, write_nifti
from simcrop.adapters.sources.phantom.render import ORGANS, Rendering, mask_name, render
from simcrop.adapters.sources.phantom.specification import Slot, StudySpec, plan, sample_study
from simcrop.adapters.sources.phantom.tables import tables, volume_name
from simcrop.adapters.system.files import first_folder, is_draft, remove_drafts, remove_folder, replace_text, whole_file
from simcrop.adapters.system.forcing import force_below
from simcrop.adapters.system.locks import holds_nothing, owned
from simcrop.adapters.system.outside_files import read_json
from simcrop.adapters.system.pool import run_all, usable_cores
from simcrop.core.errors import DataError

VERSION = 3
DONE, STARTED = "phantom.json", "phantom.partial.json"


def write_phantoms(
    out: Path,
    *,
    num_cases: int,
    seed: int = 0,
    validation_fraction: float = 0.3,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    waits: bool = False,
) -> None:
    """Write a data set of phantom chests under `out`, or complete one that was interrupted.

    Args:
        out: folder; absent, empty, or made by an earlier call with the same parameters.
        num_cases: number of studies (scans); some have two reconstructions, some patients two studies.
        seed: of everything; the same seed gives the same voxels, masks and tables, and on one machine the same bytes.
        validation_fraction: share of the patients that is held out, in [0, 1).
        workers: processes; None for one a core.
        progress: called with (studies done, studies in all).
        waits: wait for another process that writes there; otherwise it is an error.

    Raises:
        DataError: the folder holds something else, another process writes there, the system ends a worker, or the
            parameters are out of range.
    """
    parameters = _parameters(num_cases, seed, validation_fraction)
    if _described(out / DONE, parameters):
        return
    with owned(out, waits=waits, key="phantoms in"):
        if _is_complete(out, parameters):
            return
        description = json.dumps(parameters, indent=1) + "\n"
        replace_text(out / STARTED, description)
        _write_all(out, num_cases, seed, validation_fraction, workers or usable_cores(), progress)
        force_below(out)
        replace_text(out / DONE, description)
        (out / STARTED).unlink(missing_ok=True)


def _write_all(
    out: Path,
    num_cases: int,
    seed: int,
    validation_fraction: float,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    slots = plan(num_cases, seed, validation_fraction)
    for done, _ in enumerate(run_all(_write_study, (out, seed), slots, workers), start=1):
        if progress:
            progress(done, num_cases)
    studies = [sample_study(slot, seed) for slot in slots]
    for split in ("train", "valid"):
        for path, text in tables(studies, split).items():
            _write_whole(out / path, text.encode())
    for folder in [out, *(path for path in out.rglob("*") if path.is_dir() and not is_draft(path))]:
        remove_drafts(folder)
    for slot, study in zip(slots, studies, strict=True):
        for number in range(len(study.reconstructions)):
            for path in _files(out, slot, study, number):
                if not path.is_file():
                    raise DataError(f"{path}: vanished while {out} was written; see who removes it, and start again")


def _parameters(num_cases: int, seed: int, validation_fraction: float) -> dict[str, float]:
    if num_cases < 1 or not 0 <= validation_fraction < 1:
        raise DataError(
            f"phantoms: num_cases={num_cases} and validation_fraction={validation_fraction} "
            "are out of range; take at least 1 case and a fraction in [0, 1)"
        )
    return {"version": VERSION, "num_cases": num_cases, "seed": seed, "validation_fraction": validation_fraction}


def _is_complete(out: Path, parameters: Mapping[str, object]) -> bool:
    """True for a finished set with these parameters, False for one that may be begun or continued."""
    if _described(out / DONE, parameters):
        return True
    if not _described(out / STARTED, parameters) and not (out.is_dir() and holds_nothing(out)):
        raise DataError(f"{out}: exists and holds no phantoms; choose another folder or empty it")
    return False


def _described(path: Path, parameters: Mapping[str, object]) -> bool:
    """Whether a file is there that describes a set with these parameters. Raises DataError where it has others."""
    try:
        found: Any = read_json(path)
        if not isinstance(found, dict):
            raise ValueError("no object of JSON")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:
        raise DataError(f"{path}: not a phantom description ({error}); delete the folder {path.parent}") from error
    if found != parameters:
        changed = sorted(key for key in parameters if found.get(key) != parameters[key])
        values = ", ".join(f"{key} is {found.get(key)}, asked for {parameters[key]}" for key in changed)
        raise DataError(f"{path.parent}: holds phantoms made otherwise ({values}); choose another folder or delete it")
    return True


def _write_study(place: tuple[Path, int], slot: Slot) -> None:
    out, seed = place
    study = sample_study(slot, seed)
    for number, grid in enumerate(study.reconstructions):
        volume, sentences, *masks = _files(out, slot, study, number)
        is_begun = sentences.parent.exists()
        # A set that was begun may have been cut off by a power cut, which leaves any file empty or torn.
        has_truth = (
            is_begun and sentences.is_file() and sentences.read_bytes() == _truth(study) and all(map(_is_whole, masks))
        )
        if has_truth and _is_whole(volume):
            continue
        rendering = render(study, grid)
        if is_begun and not has_truth:
            remove_folder(sentences.parent)
        if not has_truth:
            _write_truth(sentences.parent, study, rendering)
        _write_whole(volume, nifti_bytes(volume.name, rendering.hu, rendering.affine))


def _files(out: Path, slot: Slot, study: StudySpec, number: int) -> list[Path]:
    """All files of a reconstruction: the volume, its sentences, and the masks."""
    name = volume_name(study, number)
    volume = out / "dataset" / slot.split / f"{slot.split}_{slot.patient}" / slot.name / name
    truth = out / "ground_truth" / name.removesuffix(".nii.gz")
    regions = {sentence.place for sentence in study.sentences if sentence.place is not None}
    masks = [truth / f"{mask_name(place)}.nii.gz" for place in {*range(len(study.lesions)), *regions, *ORGANS}]
    return [volume, truth / "sentences.json", *masks]


def _is_whole(path: Path) -> bool:
    """Whether a compressed file is there, and holds what its checksum says."""
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return path.stat().st_size > 0


def _truth(study: StudySpec) -> bytes:
    """Content of sentences.json."""
    sentences = [
        {
            "text": sentence.text,
            "finding": sentence.finding,
            "present": sentence.present,
            "mask": None if sentence.place is None else f"{mask_name(sentence.place)}.nii.gz",
        }
        for sentence in study.sentences
    ]
    truth = {"version": 1, "sentences": sentences, "organs": {name: f"{name}.nii.gz" for name in ORGANS}}
    return (json.dumps(truth, indent=1) + "\n").encode()


def _write_truth(folder: Path, study: StudySpec, rendering: Rendering) -> None:
    # Workers outlive a process that is killed, and may be writing the same.
    with first_folder(folder) as draft:
        (draft / "sentences.json").write_bytes(_truth(study))
        for name, mask in rendering.masks.items():
            write_nifti(draft / f"{name}.nii.gz", mask.astype(np.uint8), rendering.affine)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a power cut undoes is made again; all is forced to disk at the end, since one by one would double the time.
    with whole_file(path, durable=False) as file:
        file.write(content)
