"""Any computation on scans of one's own: what reaches it, in which batches, and what becomes of the rest."""

import json
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import write_volume
from support.tiny_data import write_config
from torch import Tensor

from simcrop import compose
from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.adapters.loading.resample import Grid
from simcrop.compose.applying import Applied, Computed, ScanOptions, Work, apply_to_scans
from simcrop.compose.view import View
from simcrop.core.errors import DataError
from simcrop.core.recipe import ModelRecipe

VIEW = View(Grid((3.0, 3.0, 4.0), (10, 10, 8)), ModelRecipe(volume_size=(8, 8, 6), patch_size=(4, 4, 3)))


class Means:
    """Remembers the shapes of the batches that it is given."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, volumes: Tensor) -> Computed:
        self.shapes.append(tuple(volumes.shape))
        return volumes.float().mean((1, 2, 3, 4))[:, None].numpy(), None


def applied(inputs: list[Path], out: Path, compute: Means, batch_size: int = 2) -> Applied:
    folder = RowFolder(out, "predictions", {}, columns=["mean"])
    work, options = Work.on_centres(VIEW, compute), ScanOptions("cpu", batch_size, 1)
    return apply_to_scans(inputs, work, folder, options, lambda: False)


def test_usable_scans_come_in_batches_and_the_rest_is_told(tmp_path: Path) -> None:
    for name in "abcde":
        write_volume(tmp_path / f"scans/{name}.nii.gz")
    (tmp_path / "scans/b.nii.gz").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    compute = Means()
    result = applied([tmp_path / "scans", tmp_path / "empty"], tmp_path / "out", compute)
    assert compute.shapes == [(1, 1, 8, 8, 6), (2, 1, 8, 8, 6), (1, 1, 8, 8, 6)]
    assert (result.done, result.path.name) == (4, "predictions.csv")
    assert [(row["scan"], row["code"]) for row in result.refused] == [
        (f"{tmp_path}/scans/b.nii.gz", "container.empty"),
        (f"{tmp_path}/empty", "set.no_studies"),
    ]
    rows = read_table(result.path)
    assert [Path(name).name for name in rows] == ["a.nii.gz", "c.nii.gz", "d.nii.gz", "e.nii.gz"]
    assert all(np.isfinite(row).all() for row in rows.values())
    again = Means()
    assert applied([tmp_path / "scans"], tmp_path / "out", again).done == 4
    assert again.shapes == []


def test_a_changed_file_is_computed_again(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")
    before = read_table(applied([tmp_path / "a.nii.gz"], tmp_path / "out", Means()).path)
    write_volume(
        tmp_path / "a.nii.gz", np.full((16, 16, 16), 40, np.int16) - np.eye(16, dtype=np.int16)[..., None] * 900
    )
    after = read_table(applied([tmp_path / "a.nii.gz"], tmp_path / "out", Means()).path)
    assert before.keys() == after.keys()
    assert next(iter(before.values())) != next(iter(after.values()))


def test_without_any_scan_there_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("volume\n")
    with pytest.raises(DataError, match="no scan is there"):
        applied([tmp_path / "table.csv"], tmp_path / "out", Means())


def test_a_model_sees_the_grid_that_its_volumes_were_prepared_on(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path), ["train.steps=1", "train.warmup_steps=0"])
    compose.train(config, out=tmp_path / "run")
    view = View.of(str(tmp_path / "run"), config.model)
    assert view.grid == Grid(config.model.spacing_mm, config.data.prepared_size)


def test_the_journal_says_how_long_each_scan_took(tmp_path: Path) -> None:
    write_volume(tmp_path / "a.nii.gz")
    applied([tmp_path / "a.nii.gz"], tmp_path / "out", Means())
    row = json.loads((tmp_path / "out/scans.jsonl").read_text())
    assert row["status"] == "done"
    assert 0 < row["seconds"] < 60
