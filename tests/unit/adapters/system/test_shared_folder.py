"""Ranks find out who sees the same folder, played by threads: nodes that share one, nodes that do not, and both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.small_models import ThreadRank, on_ranks

from simcrop.adapters.system import shared_folder
from simcrop.adapters.system.shared_folder import FolderRanks, folder_ranks
from simcrop.core.ports import SingleProcess


def found(folders: Sequence[Path], nodes: str, is_shared: Any = "auto") -> list[FolderRanks]:
    def look(rank: ThreadRank) -> FolderRanks:
        return folder_ranks(folders[rank.rank], rank, is_shared, node=nodes[rank.rank], key="data.prepared")

    return on_ranks(len(nodes), look)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_folder, "LOOKING_SECONDS", 0.1)


def test_nodes_that_share_a_folder_divide_the_work(tmp_path: Path) -> None:
    seen = found([tmp_path / "new"] * 4, "aabb")
    assert seen == [FolderRanks((0, 1, 2, 3), (0, 2))] * 4
    assert [each.share(rank) for rank, each in enumerate(seen)] == [(0, 2), None, (1, 2), None]
    assert [each.part(rank) for rank, each in enumerate(seen)] == [(0, 4), (1, 4), (2, 4), (3, 4)]
    assert list((tmp_path / "new").iterdir()) == []


def test_nodes_with_folders_of_their_own_each_do_all(tmp_path: Path) -> None:
    seen = found([tmp_path / "a", tmp_path / "a", tmp_path / "b", tmp_path / "b"], "aabb")
    assert seen == [FolderRanks((0, 1), (0,))] * 2 + [FolderRanks((2, 3), (2,))] * 2
    assert [each.share(rank) for rank, each in enumerate(seen)] == [(0, 1), None, (0, 1), None]
    assert [each.part(rank) for rank, each in enumerate(seen)] == [(0, 2), (1, 2), (0, 2), (1, 2)]


def test_some_nodes_may_share_and_others_not(tmp_path: Path) -> None:
    seen = found([tmp_path / "a", tmp_path / "b", tmp_path / "a"], "abc")
    assert seen == [FolderRanks((0, 2), (0, 2)), FolderRanks((1,), (1,)), FolderRanks((0, 2), (0, 2))]


def test_what_the_user_says_is_believed(tmp_path: Path) -> None:
    apart, together = [tmp_path / "a", tmp_path / "b"], [tmp_path / "a"] * 2
    assert found(apart, "ab", is_shared=True) == [FolderRanks((0, 1), (0, 1))] * 2
    assert found(together, "ab", is_shared=False) == [FolderRanks((0,), (0,)), FolderRanks((1,), (1,))]
    assert not (tmp_path / "a").exists(), "nothing is looked for"


def test_one_process_and_one_node_ask_nothing(tmp_path: Path) -> None:
    alone = folder_ranks(tmp_path / "a", SingleProcess(), "auto", node="a", key="data.prepared")
    assert alone == FolderRanks((0,), (0,))
    assert found([tmp_path / "a"] * 2, "aa") == [FolderRanks((0, 1), (0,))] * 2
    assert not (tmp_path / "a").exists()
