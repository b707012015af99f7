"""Ranks of several nodes prepare data between them, and refuse another configuration or other data on one of them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.forked_ranks import on_forked_ranks, under_a_launcher
from support.tiny_data import write_config

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.system.ranks import TorchRanks, connected
from simcrop.adapters.system.shared_folder import FolderRanks
from simcrop.compose.nodes import compare_configurations, prepare_together
from simcrop.core.errors import DataError, RanksError
from simcrop.core.ports import SingleProcess


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return load_config(write_config(tmp_path_factory.mktemp("data")))


def on_nodes(nodes: str, function: Callable[[TorchRanks], Any]) -> list[Any]:
    """The function's results on ranks whose agents have these numbers."""

    def run(ranks: TorchRanks) -> Any:
        os.environ["GROUP_RANK"] = nodes[ranks.rank]
        return function(ranks)

    return on_forked_ranks(len(nodes), run)


def prepared(config: RunConfig, folders: Sequence[Path], nodes: str) -> list[Any]:
    """Volumes that each rank finds prepared, and the ranks that share them."""

    def prepare(ranks: TorchRanks) -> tuple[int, FolderRanks]:
        data = replace(config.data, prepared=folders[ranks.rank], prepared_shared="auto")
        found, sharing = prepare_together(replace(config, data=data), ranks)
        studies = [*found.train, *found.held_out]
        return sum(found.prepared.read(study.reconstructions[0]).any().item() for study in studies), sharing

    return on_nodes(nodes, prepare)


def arrays(folder: Path) -> int:
    return len(list(folder.glob("*/*.npy")))


def test_nodes_with_one_disk_prepare_it_once(config: RunConfig, tmp_path: Path) -> None:
    assert prepared(config, [tmp_path] * 3, "001") == [(8, FolderRanks((0, 1, 2), (0, 2)))] * 3
    assert arrays(tmp_path) == 8
    indices = [path.read_text().count("\n") for path in tmp_path.glob("*/index_*.jsonl")]
    assert sum(indices) == 8, "no volume was prepared twice"
    assert len(indices) == 2, "both nodes had a part"


def test_nodes_with_a_disk_each_prepare_both(config: RunConfig, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "a", tmp_path / "b"]
    found = prepared(config, folders, "001")
    assert found == [(8, FolderRanks((0, 1), (0,)))] * 2 + [(8, FolderRanks((2,), (2,)))]
    assert [arrays(folder) for folder in folders] == [8, 8, 8]


def test_one_process_prepares_as_ever(config: RunConfig, tmp_path: Path) -> None:
    own = replace(config, data=replace(config.data, prepared=tmp_path))
    data, sharing = prepare_together(own, SingleProcess())
    assert (len(data.train), len(data.held_out), sharing) == (6, 2, FolderRanks((0,), (0,)))
    compare_configurations(config, SingleProcess())


def test_other_data_on_a_node_are_refused_on_all(config: RunConfig, tmp_path: Path) -> None:
    def prepare(ranks: TorchRanks) -> None:
        left_out = ("1.nii.gz",) if ranks.rank == 1 else ()
        data = replace(config.data, prepared=tmp_path, quarantine=left_out)
        prepare_together(replace(config, data=data), ranks)

    told = "data, training studies: 6 on rank 0, 5 on rank 1; give every node the same tables and volumes"
    errors = on_nodes("01", prepare)
    assert [type(error) for error in errors] == [RanksError] * 2
    assert [str(error) for error in errors] == [told] * 2


def test_another_configuration_on_a_rank_is_refused_on_all(config: RunConfig) -> None:
    def compare(ranks: TorchRanks) -> None:
        compare_configurations(replace(config, seed=ranks.rank // 2), ranks)

    told = "seed: 0 on rank 0, 1, 1 on rank 2; start every rank with the same version of simcrop and torch, and"
    assert [str(error).startswith(told) for error in on_nodes("001", compare)] == [True] * 3


def test_a_node_that_cannot_prepare_ends_all_with_its_reason(config: RunConfig, tmp_path: Path) -> None:
    def prepare(rank: int) -> None:
        os.environ["GROUP_RANK"] = str(rank)
        absent = tmp_path / "absent.csv"
        data = replace(config.data, prepared=tmp_path, manifest=absent if rank == 1 else config.data.manifest)
        with connected(torch.device("cpu"), 1.0) as ranks:
            prepare_together(replace(config, data=data), ranks)

    first, second = under_a_launcher(2, prepare)
    assert isinstance(second, DataError)
    assert isinstance(first, RanksError)
    assert str(first).startswith("rank 1 (process ")
    assert str(first).endswith(f"has ended: {second}")
