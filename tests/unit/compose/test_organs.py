"""The masks of organs of a run: prepared where an objective reads them, and refused where there are none."""

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import write_volume
from support.tiny_data import write_config

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.sources.registry import build_source
from simcrop.compose.data import prepare_data
from simcrop.compose.organs import organs_of
from simcrop.core.errors import DataError

ON = "objectives.organ_shares.weight=1"
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_config(tmp_path)


def write_heart(folder: Path, *numbers: int) -> None:
    voxels = np.zeros((20, 20, 20), np.uint8)
    voxels[5:15, 5:15, 5:15] = 1
    for number in numbers:
        write_volume(folder / str(number) / "heart.nii.gz", voxels, AFFINE)


def config(path: Path, *options: str) -> RunConfig:
    return load_config(path, options)


def test_masks_of_a_folder_elsewhere_are_prepared(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_heart(path.parent / "masks", 0, 2, 7)
    caplog.set_level(logging.INFO, logger="simcrop")
    organs = prepare_data(config(path, ON, f"data.organ_masks={path.parent / 'masks'}")).organs
    assert organs is not None
    assert organs.names == {"0.nii.gz", "2.nii.gz", "7.nii.gz"}
    assert [list(organs.classes)[number] for number, known in enumerate(organs.known("2.nii.gz")) if known] == ["heart"]
    assert "masks of organs: 3 of 8 volumes have some" in caplog.text
    box = torch.empty(organs.size, dtype=torch.int16)
    organs.read_box("2.nii.gz", (0, 0, 0), box)
    assert int((box != 0).sum()) == 10**3


def test_a_weight_of_zero_looks_at_no_mask(path: Path) -> None:
    write_heart(path.parent / "studies" / "ground_truth", 0)
    (path.parent / "studies" / "ground_truth" / "1").mkdir()
    (path.parent / "studies" / "ground_truth" / "1" / "sentences.json").write_text("damaged")
    assert prepare_data(config(path)).organs is None
    assert not list((path.parent / "prepared").glob("organs_of_*"))


def test_a_run_without_any_mask_is_refused_and_a_part_of_it_is_not(path: Path) -> None:
    settings = config(path, ON)
    with pytest.raises(
        DataError, match=r"^objectives\.organ_shares: no volume has a mask of any class; name the folder"
    ):
        prepare_data(settings)
    source = build_source(settings.data)
    size = settings.data.prepared_size
    assert size is not None
    grid = Grid(settings.model.spacing_mm, size)
    prepared = prepare(source, source.studies(), grid, settings.data.prepared)
    assert organs_of(settings, source, prepared, source.studies(), is_all=False).names == frozenset()


def test_evaluations_of_such_a_run_need_no_masks(path: Path) -> None:
    assert prepare_data(config(path, ON), for_training=False).organs is None
