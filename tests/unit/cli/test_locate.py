"""`simcrop locate` as it is typed."""

from pathlib import Path

import nibabel as nib
import numpy as np
from support.language_run import NODULE, Tiny

from simcrop_cli.__main__ import main


def test_a_picture_and_a_map_on_the_voxels_of_the_scan(tiny: Tiny, tmp_path: Path) -> None:
    volume = tiny.config.parent / "studies" / "v0.nii.gz"
    outs = [part for name in ("a.png", "b.nii.gz") for part in ("--out", str(tmp_path / name))]
    arguments = ["--checkpoint", str(tiny.run), "--volume", str(volume), "--sentence", NODULE]
    assert main(["locate", *arguments, *outs]) == 0
    written, there = nib.load(tmp_path / "b.nii.gz"), nib.load(volume)
    assert (written.shape, np.array_equal(written.affine, there.affine)) == (there.shape, True)
    assert -1 <= written.get_fdata().min() < written.get_fdata().max() <= 1
    assert (tmp_path / "a.png").stat().st_size > 10_000
