"""A small data set in the layout of MSD whose organs are boxes of known HU at known places, in many orientations."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from simcrop.adapters.formats.nifti import write_nifti

CLASSES = ("background", "bone", "organ")
HU = (30, 900, -800)
"""Of the classes: none lies between two others, so that blurred borders are of one of the two."""
EASY_HU = (100, 900, -500)
"""One organ brighter and one darker than the rest, since a network that normalises its regions sees contrast alone."""
SHAPE = (24, 20, 18)
SPACING = (3.0, 3.0, 5.0)
RAS = np.diag([*SPACING, 1.0])
LPS = np.array([[-3.0, 0, 0, 40], [0, -3.0, 0, 30], [0, 0, 5.0, -20], [0, 0, 0, 1]])
"""Stored axes grow to the left, the back and the head."""
_TURN = np.deg2rad(20)
OBLIQUE = np.array(
    [
        [3 * np.cos(_TURN), -3 * np.sin(_TURN), 0, -10],
        [3 * np.sin(_TURN), 3 * np.cos(_TURN), 0, 25],
        [0, 0, -5.0, 60],
        [0, 0, 0, 1],
    ]
)
"""Turned by 20 degrees about the axis from feet to head, which is stored from head to feet."""
AFFINES = {"ras": RAS, "lps": LPS, "oblique": OBLIQUE}


def boxes(seed: int, hu_of: Sequence[int] = HU, shape: Sequence[int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """(HU with some noise, classes) of a volume with one box of each organ, somewhere."""
    draws = np.random.default_rng(seed)
    classes = np.zeros(shape, np.uint8)
    for number, low in ((1, (1, 1, 1)), (2, (shape[0] // 2, 1, 1))):
        start = np.array(low) + draws.integers(0, 3, 3)
        x, y, z = (slice(first, first + size) for first, size in zip(start, (7, 9, 8), strict=True))
        classes[x, y, z] = number
    hu = np.array(hu_of)[classes] + draws.normal(0, 20, shape)
    return hu.astype(np.int16), classes


def write_msd(root: Path, affines: Sequence[np.ndarray], *, validation: int = 0, hu_of: Sequence[int] = HU) -> None:
    """A data set with one volume for each affine; the last `validation` of them are its validation split."""
    pairs = [
        {"image": f"./imagesTr/case{number}.nii.gz", "label": f"./labelsTr/case{number}.nii.gz"}
        for number in range(len(affines))
    ]
    for number, (pair, affine) in enumerate(zip(pairs, affines, strict=True)):
        for key, array in zip(pair, boxes(number, hu_of), strict=True):
            (root / pair[key]).parent.mkdir(parents=True, exist_ok=True)
            write_nifti(root / pair[key], array, affine)
    table = {"labels": {str(value): name for value, name in enumerate(CLASSES)}}
    first = len(pairs) - validation
    table |= {"training": pairs[:first]} | ({"validation": pairs[first:]} if validation else {})
    (root / "dataset.json").write_text(json.dumps(table))


def write_truth(root: Path, affines: Sequence[np.ndarray]) -> Path:
    """The same volumes as a manifest with organs beside it; the last two are held out, one of them has no organs."""
    rows = ["volume,findings,impression,split"]
    for number, affine in enumerate(affines):
        hu, classes = boxes(number)
        root.mkdir(parents=True, exist_ok=True)
        write_nifti(root / f"{number}.nii.gz", hu, affine)
        split = "validation" if number >= len(affines) - 2 else "train"
        rows.append(f"{number}.nii.gz,A finding.,,{split}")
        if number == len(affines) - 1:
            continue
        folder = root / "ground_truth" / str(number)
        folder.mkdir(parents=True)
        for value, name in enumerate(CLASSES[1:], 1):
            write_nifti(folder / f"{name}.nii.gz", (classes == value).astype(np.uint8), affine)
        organs = {name: f"{name}.nii.gz" for name in CLASSES[1:]}
        (folder / "sentences.json").write_text(json.dumps({"version": 1, "sentences": [], "organs": organs}))
    manifest = root / "studies.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest
