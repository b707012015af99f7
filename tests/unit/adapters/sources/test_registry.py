"""Data sets without reports, as the configuration names them."""

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import SHAPE, chest, write_volume
from support.dicom_series import write_series
from support.landmarks import codes, slices_first
from support.metaimages import write_mhd
from support.picture_scans import write_scan

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.registry import UNREPORTED, build_source
from simcrop.core.errors import ConfigError, DataError


def _radchestct(root: Path) -> None:
    np.savez(root / "tst00001.npz", ct=slices_first(chest()))


def _luna16(root: Path) -> None:
    write_mhd(root / "subset0" / "1.2.mhd")


def _cc_ccii(root: Path) -> None:
    write_scan(root / "NCP" / "1" / "2")


def _btcv(root: Path) -> None:
    write_volume(root / "a.nii.gz")
    write_volume(root / "b.nii.gz", np.eye(*SHAPE[:2])[..., None].repeat(SHAPE[2], 2).astype(np.uint8))
    labels = {"0": "background", "1": "spleen"}
    table = {"labels": labels, "training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}
    (root / "dataset.json").write_text(json.dumps(table), encoding="utf-8")


def _dicom(root: Path) -> None:
    write_series(root / "P1")


CASES = [("radchestct", _radchestct), ("luna16", _luna16), ("cc_ccii", _cc_ccii), ("btcv", _btcv), ("dicom", _dicom)]


def _settings(name: str, root: Path) -> DataSettings:
    return DataSettings(
        source=name,  # pyright: ignore[reportArgumentType]
        root=root,
        held_out_part="tst",
        grey_scaling=(8.0, -1000.0),
        spacing_mm=(1.0, 1.0, 1.0),
    )


@pytest.mark.parametrize(("name", "write"), CASES)
def test_each_source_is_built_read_and_checked(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    root = tmp_path / "data"
    root.mkdir()
    write(root)
    source = build_source(_settings(name, root))
    (study,) = source.studies()
    (reconstruction,) = study.reconstructions
    assert source.read_volume(reconstruction).voxels.ndim == 3
    assert codes(source.inspect, reconstruction) == []
    found = check_source(source, (), tmp_path / "cache", max_tokens=512, workers=1).problems
    assert {p.code for p in found if p.severity == "error"} <= {"text.missing_report"}


def test_every_such_source_is_tried_here_and_can_be_named() -> None:
    (annotation,) = (field.type for field in fields(DataSettings) if field.name == "source")
    assert {name for name, _ in CASES} == set(UNREPORTED) < set(annotation.__args__)


@pytest.mark.parametrize("name", list(UNREPORTED))
def test_the_root_is_needed_and_has_to_be_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"root: source {name} needs it"):
        DataSettings(source=name)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="absent: is no folder"):
        build_source(_settings(name, tmp_path / "absent"))


@pytest.mark.parametrize("missing", ["grey_scaling", "spacing_mm"])
def test_what_the_pictures_do_not_say_has_to_be_declared(tmp_path: Path, missing: str) -> None:
    declared = {"grey_scaling": (1.0, 0.0), "spacing_mm": (1.0, 1.0, 1.0), missing: None}
    with pytest.raises(ConfigError, match=f"{missing}: source cc_ccii needs it"):
        DataSettings(source="cc_ccii", root=tmp_path, **declared)
