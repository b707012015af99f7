"""Render phantoms of a folder again, without some of what their reports speak of."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simcrop.adapters.formats.geometry import to_ras
from simcrop.adapters.sources.phantom.anatomy import sample_anatomy
from simcrop.adapters.sources.phantom.render import mask_name, render
from simcrop.adapters.sources.phantom.sites import Lesion
from simcrop.adapters.sources.phantom.specification import Slot, StudySpec, plan, sample_study
from simcrop.adapters.sources.phantom.writer import DONE, VERSION
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError


class PhantomEraser:
    """The chests of one folder, painted again from the seed that it holds; nothing is written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def without(self, reconstruction: str, masks: Sequence[str]) -> Volume:
        """One volume without the findings of these masks; `ports.Eraser` has the rules."""
        name, _, number = reconstruction.rpartition("_")
        seed, slots = self._plan
        if name not in slots:
            raise DataError(f"{self._root / DONE}: tells of no chest {name!r}; write the phantoms again")
        study = sample_study(slots[name], seed)
        names = [f"{mask_name(lesion)}.nii.gz" for lesion in range(len(study.lesions))]
        if unknown := [mask for mask in masks if mask not in names]:
            raise DataError(f"{reconstruction}: has no finding behind the mask {unknown[0]!r}; it has {names}")
        kept = without_lesions(study, {names.index(mask) for mask in masks})
        rendering = render(kept, study.reconstructions[int(number) - 1])
        # A NIfTI file keeps 32 bits of an affine.
        stored = rendering.affine.astype(np.float32).astype(np.float64)
        voxels, affine = to_ras(rendering.hu, stored, np.int16)
        return Volume(torch.from_numpy(voxels), torch.from_numpy(affine))

    @cached_property
    def _plan(self) -> tuple[int, dict[str, Slot]]:
        """The seed of the folder's chests, and each of them by its name."""
        path = self._root / DONE
        try:
            made: Any = read_json(path)
            if not isinstance(made, dict):
                raise ValueError("no object of JSON")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}); write the phantoms again") from error
        if made.get("version") != VERSION:
            raise DataError(
                f"{path}: is of version {made.get('version')}, expected {VERSION}; write the phantoms again"
            )
        slots = plan(made["num_cases"], made["seed"], made["validation_fraction"])
        return made["seed"], {slot.name: slot for slot in slots}


def without_lesions(study: StudySpec, numbers: Collection[int]) -> StudySpec:
    """The same patient without some lesions, to be painted: without sentences, since they tell lesions by number."""
    lesions = tuple(lesion for number, lesion in enumerate(study.lesions) if number not in numbers)
    kept = replace(study, lesions=lesions, sentences=())
    if any(study.lesions[number].finding == "Cardiomegaly" for number in numbers):
        return _with_usual_heart(kept)
    return kept


def _with_usual_heart(study: StudySpec) -> StudySpec:
    """The heart as large as it was before the finding, with the plaques of its arteries on its surface."""
    large = study.anatomy
    usual = sample_anatomy(np.random.default_rng(large.seed), large.seed)
    shrink = usual.heart[0] / large.heart[0]

    def moved(lesion: Lesion) -> Lesion:
        if lesion.finding != "Coronary artery wall calcification":
            return lesion
        center = [c + shrink * (p - c) for c, p in zip(large.heart_center, lesion.center, strict=True)]
        return replace(lesion, center=(center[0], center[1], center[2]))

    return replace(study, anatomy=usual, lesions=tuple(map(moved, study.lesions)))
