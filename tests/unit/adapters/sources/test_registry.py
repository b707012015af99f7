"""Every data set, as the configuration names it."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import FINDINGS, SHAPE, chest, write_ct_rate, write_table, write_volume
from support.dicom_series import write_series
from support.landmarks import codes, slices_first
from support.metaimages import write_mhd
from support.picture_scans import write_scan

from simcrop.adapters.config.run import BUILT_IN, DataSettings
from simcrop.adapters.sources.checking import check_source
from simcrop.adapters.sources.registry import SOURCES, build_source
from simcrop.core.data.study import Volume
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.ports import DataSet


def _radchestct(root: Path) -> None:
    for number in (1, 2):
        np.savez(root / f"tst0000{number}.npz", ct=slices_first(chest(number)))


def _luna16(root: Path) -> None:
    for number in (2, 3):
        write_mhd(root / "subset0" / f"1.{number}.mhd")


def _cc_ccii(root: Path) -> None:
    for number in (2, 3):
        write_scan(root / "NCP" / "1" / str(number))


def _btcv(root: Path) -> None:
    write_volume(root / "a.nii.gz")
    write_volume(root / "b.nii.gz", np.eye(*SHAPE[:2])[..., None].repeat(SHAPE[2], 2).astype(np.uint8))
    labels = {"0": "background", "1": "spleen"}
    table = {"labels": labels, "training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}
    (root / "dataset.json").write_text(json.dumps(table), encoding="utf-8")


def _dicom(root: Path) -> None:
    write_series(root / "P1")


def _manifest(root: Path) -> None:
    rows = [{"volume": f"{name}.nii.gz", "findings": FINDINGS, "impression": "Normal."} for name in "ab"]
    for number, row in enumerate(rows):
        write_volume(root / row["volume"], chest(number))
    write_table(root / "reports.csv", rows)


def _ct_rate(root: Path) -> None:
    write_ct_rate(root, ["train_1_a_1", "train_2_a_1"])


CASES: dict[str, Callable[[Path], None]] = {
    "phantom": lambda root: None,
    "ct_rate": _ct_rate,
    "manifest": _manifest,
    "radchestct": _radchestct,
    "luna16": _luna16,
    "cc_ccii": _cc_ccii,
    "btcv": _btcv,
    "dicom": _dicom,
}
IDENTITIES = {
    "phantom": "ct_rate {root} hu=hu padding_value=None",
    "ct_rate": "ct_rate {root} hu=hu padding_value=None",
    "manifest": "manifest {root} padding_value=None",
    "radchestct": "radchestct {root}",
    "luna16": "luna16 {root}",
    "cc_ccii": "cc_ccii {root} slope=8.0 intercept=-1000.0 spacing_mm=(1.0, 1.0, 1.0)",
    "btcv": "btcv {root} padding_value=None",
    "dicom": "dicom {root} padding_value=None",
}
"""Prepared volumes are kept under these names."""


def _settings(name: str, root: Path) -> DataSettings:
    return DataSettings(
        source=name,  # pyright: ignore[reportArgumentType]
        root=root,
        manifest=root / "reports.csv",
        cases=2,
        held_out_part="tst",
        grey_scaling=(8.0, -1000.0),
        spacing_mm=(1.0, 1.0, 1.0),
    )


@pytest.mark.parametrize("name", CASES)
def test_each_source_is_built_read_and_checked(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    CASES[name](root)
    source = build_source(_settings(name, root))
    assert source.identity == IDENTITIES[name].format(root=root)
    reconstruction = source.studies()[0].reconstructions[0]
    assert source.read_volume(reconstruction).voxels.ndim == 3
    assert [problem for problem in codes(source.inspect, reconstruction) if problem != "content.field_of_view"] == []
    assert source.volume_file(reconstruction) in set(source.files())
    for organ, mask in zip(source.organs(reconstruction), _masks(source, reconstruction), strict=True):
        assert torch.equal(mask.voxels, source.read_mask(reconstruction, source.organs(reconstruction)[organ]).voxels)
    found = check_source(source, (), tmp_path / "cache", max_tokens=512, workers=1).problems
    few_studies = {"set.class_without_positives", "set.labels_identical"}
    assert {p.code for p in found if p.severity == "error"} <= few_studies


@pytest.mark.parametrize("form", ["{}", "folder/{}"])
@pytest.mark.parametrize("name", CASES)
def test_each_source_leaves_out_what_a_list_names(tmp_path: Path, name: str, form: str) -> None:
    root = tmp_path / "data"
    root.mkdir()
    CASES[name](root)
    before = build_source(_settings(name, root)).studies()
    gone = before[0].reconstructions[0]
    (tmp_path / "list.txt").write_text(f"{form.format(gone)}\nunheard of\n")
    settings = replace(_settings(name, root), exclude=tmp_path / "list.txt")
    if len(before) == 1:
        with pytest.raises(DataError) as refused:
            build_source(settings)
        assert "\n" not in str(refused.value)
        return
    source = build_source(settings)
    assert [study.study_id for study in source.studies()] == [study.study_id for study in before[1:]]
    ending = f"leaves out 1 volume ({gone}); 1 of its 2 names match nothing here (unheard of)"
    assert source.exclusion_note == f"data.exclude: {tmp_path / 'list.txt'} {ending}"
    found = check_source(source, (), tmp_path / "cache", max_tokens=512, workers=1).problems
    assert "set.file_without_row" not in {problem.code for problem in found}


def _masks(source: DataSet, reconstruction: str) -> Iterator[Volume]:
    return source.read_masks(reconstruction, list(source.organs(reconstruction).values()))


def test_every_source_that_can_be_named_is_in_the_registry_and_tried_here() -> None:
    assert set(CASES) == set(SOURCES)
    assert list(SOURCES) == list(BUILT_IN)


@pytest.mark.parametrize("name", [name for name in SOURCES if name not in {"phantom", "manifest"}])
def test_the_root_is_needed_and_has_to_be_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"root: source {name} needs it"):
        DataSettings(source=name)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="absent: is no folder"):
        build_source(_settings(name, tmp_path / "absent"))


def test_the_registry_needs_no_optional_package() -> None:
    code = "import sys; sys.modules['pydicom'] = None; import simcrop.adapters.sources.registry"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("missing", ["grey_scaling", "spacing_mm"])
def test_what_the_pictures_do_not_say_has_to_be_declared(tmp_path: Path, missing: str) -> None:
    declared = {"grey_scaling": (1.0, 0.0), "spacing_mm": (1.0, 1.0, 1.0), missing: None}
    with pytest.raises(ConfigError, match=f"{missing}: source cc_ccii needs it"):
        DataSettings(source="cc_ccii", root=tmp_path, **declared)
