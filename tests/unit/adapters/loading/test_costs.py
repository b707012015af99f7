"""The costs of each storage, measured on a few volumes and told in a line."""

import builtins
from pathlib import Path
from typing import Any

import pytest
import torch
from support.data_folders import write_ct_rate
from support.full_disk import files_of_at_most

from simcrop.adapters.loading.costs import describe_costs, drop_pages, storage_cost
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.loading.storage import storage_named
from simcrop.adapters.sources.ct_rate import CTRateSource

NAMES = [f"train_{patient}_a_1" for patient in range(1, 3)]
GRID = Grid((2.0, 2.0, 2.0), (32, 32, 16))


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedVolumes:
    write_ct_rate(tmp_path / "data", NAMES)
    source = CTRateSource(tmp_path / "data")
    return prepare(source, source.studies(), GRID, tmp_path / "cache")


def test_bytes_are_those_of_the_files_and_nothing_is_left(prepared: PreparedVolumes) -> None:
    before = {path: path.read_bytes() for path in prepared.folder.iterdir()}
    volumes = [prepared.read(name) for name in NAMES]
    cost = storage_cost(storage_named("raw"), volumes, prepared.folder)
    assert cost.num_bytes == prepared.array_file(NAMES[0]).stat().st_size
    assert min(cost.warm_s, cost.cold_s) > 0
    assert {path: path.read_bytes() for path in prepared.folder.iterdir()} == before


def test_each_storage_has_a_line(prepared: PreparedVolumes) -> None:
    pytest.importorskip("blosc2")
    raw, small, disk = describe_costs(prepared, NAMES, 50_000)
    assert raw.startswith("data.storage raw: 0.03 MB a volume, 1.64 GB for 50000; to read one takes ")
    assert small.startswith("data.storage blosc2: 0.0")
    assert " GB free" in disk


def test_without_the_package_its_line_has_the_remedy(
    prepared: PreparedVolumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str, *more: Any) -> Any:
        if name == "blosc2":
            raise ImportError(name)
        return real(name, *more)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", absent)
    assert "pip install 'simcrop[blosc2]'" in list(describe_costs(prepared, NAMES, 2))[1]


def test_a_disk_that_takes_no_more_ends_nothing(prepared: PreparedVolumes) -> None:
    with files_of_at_most(1000):
        raw, _, disk = describe_costs(prepared, NAMES, 2)
    assert "free disk space or change data.prepared" in raw
    assert " GB free" in disk


def test_a_file_whose_pages_are_dropped_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(torch.arange(9000).numpy().tobytes())
    drop_pages(path)
    assert path.read_bytes() == torch.arange(9000).numpy().tobytes()
