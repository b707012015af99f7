"""A folder of scans, read and written by the steps of a bundle."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from support.small_models import MODEL

from simcrop.adapters.export.encoder_sizes import encoder_sizes
from simcrop.adapters.export.standalone.scan import model_input
from simcrop.adapters.export.standalone.vision import VisionEncoder
from simcrop.adapters.formats.feature_tables import read_table

monai_data = pytest.importorskip("monai.data", reason="MONAI is not installed")

SIZES = {"spacing_mm": (2.0, 2.0, 2.0), "grid_size": MODEL.volume_size, "volume_size": MODEL.volume_size}
NAMES = ["a.nii", "below/b.nii.gz", "c.nii.gz"]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    (folder / "below").mkdir(parents=True)
    for number, name in enumerate(sorted(NAMES)):
        voxels = np.random.default_rng(number).integers(-1000, 1000, (10, 10, 10)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.diag([2.0, 2.0, 2.0, 1.0])), folder / name)
    (folder / "notes.txt").write_text("no scan")
    return folder


def write(scans: Path, out: Path, *, save_tokens: bool) -> VisionEncoder:
    from simcrop.adapters.export.standalone.bundle_steps import ReadScand, scan_items, write_features

    torch.manual_seed(0)
    network = VisionEncoder(**encoder_sizes(MODEL)).eval()
    batches = monai_data.DataLoader(
        monai_data.Dataset(scan_items(str(scans)), ReadScand("image", **SIZES)), batch_size=2
    )
    write_features(
        network,
        batches,
        device=torch.device("cpu"),
        dataset_dir=str(scans),
        output_dir=str(out),
        save_tokens=save_tokens,
    )
    return network


@torch.no_grad()
def test_every_scan_has_a_row_that_simcrop_reads(scans: Path, tmp_path: Path) -> None:
    network = write(scans, tmp_path / "out", save_tokens=True)
    rows = read_table(tmp_path / "out" / "features.csv")
    assert [*rows] == NAMES
    for name, row in rows.items():
        volume = model_input(scans / name, **SIZES)[None, None]  # pyright: ignore[reportArgumentType]
        np.testing.assert_allclose(row, network.encode(volume, normalized=False)[0, 1:].mean(0), rtol=0, atol=1e-6)
        tokens = np.load(tmp_path / "out" / "tokens" / f"{name}.npz")["tokens"]
        np.testing.assert_allclose(tokens, network(volume)[0], rtol=0, atol=1e-6)


def test_tokens_are_written_where_they_are_asked_for(scans: Path, tmp_path: Path) -> None:
    write(scans, tmp_path / "out", save_tokens=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["features.csv"]


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    from simcrop.adapters.export.standalone.bundle_steps import scan_items

    with pytest.raises(ValueError, match=r"dataset_dir: no NIfTI file lies in .*; name another with --dataset_dir"):
        scan_items(str(tmp_path))
