"""A kept segmenter on scans of one's own: the maps and volumes that its evaluation found."""

import csv
import json
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
import pytest
from support.organ_data import CLASSES
from support.segmenting import msd_config, segment

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.applying import Applied, ScanOptions
from simcrop.compose.predicting import PredictOptions, predict
from simcrop.core.errors import CheckpointError, ConfigError


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return msd_config(tmp_path_factory.mktemp("msd"))


@pytest.fixture(scope="module")
def learned(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("learned") / "out"
    assert segment(config, out) == 0
    return out


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def predicted(scans: Path, learned: Path, out: Path) -> Applied:
    return predict([scans], str(learned), out, PredictOptions(scans=ScanOptions("cpu", 16, 1)))


def test_maps_and_volumes_are_those_of_the_evaluation(config: Path, learned: Path, tmp_path: Path) -> None:
    measured = rows_of(learned / "predictions.csv")
    volumes = sorted({row["volume"] for row in measured})
    scans = tmp_path / "scans"
    scans.mkdir()
    for volume in volumes:
        (scans / Path(volume).name).write_bytes((config.parent / "data" / volume).read_bytes())
    (scans / "bad.nii.gz").write_bytes(b"no scan")
    result = predicted(scans, learned, tmp_path / "out")
    assert (result.done, [row["scan"] for row in result.refused]) == (len(volumes), [f"{scans}/bad.nii.gz"])
    rows = read_table(result.path)
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["segmentations"] == {str(number): name for number, name in enumerate(CLASSES) if number}
    for row in measured:
        name = f"{scans}/{Path(row['volume']).name}"
        own = rows[name][CLASSES.index(row["class"]) - 1]
        assert own == pytest.approx(float(row["volume_ml"]), abs=0.01)
        assert result.maps is not None
        written = cast(Any, nib.load(result.maps / name.lstrip("/")))
        expected = cast(Any, nib.load(learned / row["file"]))
        assert np.array_equal(np.asarray(written.dataobj), np.asarray(expected.dataobj))
        assert np.array_equal(written.affine, expected.affine)


def test_a_scan_whose_map_is_gone_is_segmented_again(config: Path, learned: Path, tmp_path: Path) -> None:
    volume = config.parent / "data" / rows_of(learned / "predictions.csv")[0]["volume"]
    result = predicted(volume, learned, tmp_path / "out")
    assert result.maps is not None
    (path,) = result.maps.rglob("*.nii.gz")
    before = path.read_bytes()
    path.unlink()
    predicted(volume, learned, tmp_path / "out")
    assert path.read_bytes() == before
    stamp = path.stat().st_mtime_ns
    predicted(volume, learned, tmp_path / "out")
    assert path.stat().st_mtime_ns == stamp


def test_what_cannot_be_used_is_refused(config: Path, learned: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.json").write_text("{}\n")
    with pytest.raises(ConfigError, match="holds predictions of another model"):
        predicted(config, learned, tmp_path / "out")
    damaged = tmp_path / "damaged/segmenter"
    damaged.mkdir(parents=True)
    (damaged / "config.json").write_text((learned / "segmenter/config.json").read_text())
    (damaged / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        predicted(config, damaged.parent, tmp_path / "other")
