"""`simcrop locate` on a real scan, as published and with its axes turned: the map lies on the scan's own voxels."""

import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy.spatial.transform import Rotation
from support.tiny_data import SENTENCES, write_config

from simcrop_cli.__main__ import main

NAME = "ts_chest_cta_full.nii.gz"


def published() -> Path:
    folder = os.environ.get("SIMCROP_REAL_CT")
    if not folder:
        pytest.skip("SIMCROP_REAL_CT names no folder of real volumes")
    return Path(folder) / NAME


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One step of training, on a grid that takes in most of a chest."""
    published()
    folder = tmp_path_factory.mktemp("real")
    options = ["train.steps=1", "train.warmup_steps=0", "train.evaluate_every=1", "model.spacing_mm=[18,18,18]"]
    sets = [part for option in options for part in ("--set", option)]
    assert main(["train", str(write_config(folder)), "--out", str(folder / "run"), *sets]) == 0
    return folder / "run"


def turned(image: Any, axes: str) -> Any:
    """The same scan with its voxels stored along other axes."""
    return image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(axes)))


def oblique(image: Any) -> Any:
    """The same voxels in a patient who lies askew."""
    affine = image.affine.copy()
    affine[:3] = Rotation.from_euler("xyz", [7, -11, 13], degrees=True).as_matrix() @ affine[:3]
    return nib.Nifti1Image(np.asarray(image.dataobj), affine)


COPIES = {"LPS": lambda image: turned(image, "LPS"), "SAR": lambda image: turned(image, "SAR"), "oblique": oblique}


@pytest.mark.parametrize("axes", ["as published", *COPIES])
def test_the_map_of_a_real_scan_lies_on_its_own_voxels(run: Path, tmp_path: Path, axes: str) -> None:
    volume = published()
    if axes in COPIES:
        image = COPIES[axes](nib.load(volume))
        image.header.set_xyzt_units("mm")
        volume = tmp_path / "scan.nii"
        nib.save(image, volume)
    outs = [tmp_path / "map.nii.gz", tmp_path / "map.png"][: 2 if axes == "oblique" else 1]
    arguments = ["--checkpoint", str(run), "--volume", str(volume), "--sentence", SENTENCES[1]]
    assert main(["locate", *arguments, *(part for out in outs for part in ("--out", str(out)))]) == 0
    there: Any = nib.load(volume)
    written: Any = nib.load(outs[0])
    assert written.shape == there.shape
    assert written.affine.tobytes() == there.affine.tobytes()
    values = written.get_fdata(dtype=np.float32)
    assert np.isfinite(values).all()
    assert -1 <= values.min() < values.max() <= 1
    assert all(out.stat().st_size > 10_000 for out in outs)
