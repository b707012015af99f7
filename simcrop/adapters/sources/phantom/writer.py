"""Phantom studies as files in CT-RATE's layout: whole or not at all, the same content for the same seed, resumable."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simcrop.adapters.formats.nifti import nifti_bytes, write_nifti
from simcrop.adapters.sources.phantom.render import ORGANS, Rendering, mask_name, render
from simcrop.adapters.sources.phantom.specification import Slot, StudySpec, plan, sample_study
from simcrop.adapters.sources.phantom.tables import tables, volume_name
from simcrop.adapters.system.files import whole_file, whole_folder
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
    if _is_complete(out, parameters):
        return
    with owned(out, waits=waits, key="phantoms in"):
        if _is_complete(out, parameters):
            return
        _write_whole(out / STARTED, (json.dumps(parameters, indent=1) + "\n").encode())
        _write_all(out, num_cases, seed, validation_fraction, workers or usable_cores(), progress)
        (out / STARTED).replace(out / DONE)


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


def _parameters(num_cases: int, seed: int, validation_fraction: float) -> dict[str, float]:
    if num_cases < 1 or not 0 <= validation_fraction < 1:
        raise DataError(
            f"phantoms: num_cases={num_cases} and validation_fraction={validation_fraction} "
            "are out of range; take at least 1 case and a fraction in [0, 1)"
        )
    return {"version": VERSION, "num_cases": num_cases, "seed": seed, "validation_fraction": validation_fraction}


def _is_complete(out: Path, parameters: Mapping[str, object]) -> bool:
    """True for a finished set with these parameters, False for one that may be begun or continued."""
    for name in (DONE, STARTED):
        try:
            found: Any = read_json(out / name)
            if not isinstance(found, dict):
                raise ValueError("no object of JSON")
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise DataError(f"{out / name}: not a phantom description ({error}); delete the folder {out}") from error
        if found != parameters:
            changed = sorted(key for key in parameters if found.get(key) != parameters[key])
            values = ", ".join(f"{key} is {found.get(key)}, asked for {parameters[key]}" for key in changed)
            raise DataError(f"{out}: holds phantoms made otherwise ({values}); choose another folder or delete it")
        return name == DONE
    if out.exists() and (not out.is_dir() or not holds_nothing(out)):
        raise DataError(f"{out}: exists and holds no phantoms; choose another folder or empty it")
    return False


def _write_study(place: tuple[Path, int], slot: Slot) -> None:
    out, seed = place
    study = sample_study(slot, seed)
    for number, grid in enumerate(study.reconstructions):
        name = volume_name(study, number)
        volume = out / "dataset" / slot.split / f"{slot.split}_{slot.patient}" / slot.name / name
        # The volume is written last, so where it stands everything of it stands; a power cut may leave it empty.
        if volume.exists() and volume.stat().st_size:
            continue
        rendering = render(study, grid)
        _write_truth(out / "ground_truth" / name.removesuffix(".nii.gz"), study, rendering)
        _write_whole(volume, nifti_bytes(name, rendering.hu, rendering.affine))


def _write_truth(folder: Path, study: StudySpec, rendering: Rendering) -> None:
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
    with whole_folder(folder, durable=False) as draft:
        (draft / "sentences.json").write_text(json.dumps(truth, indent=1) + "\n")
        for name, mask in rendering.masks.items():
            write_nifti(draft / f"{name}.nii.gz", mask.astype(np.uint8), rendering.affine)


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a power cut undoes is made again; forcing each file to disk would double the time.
    with whole_file(path, durable=False) as file:
        file.write(content)
