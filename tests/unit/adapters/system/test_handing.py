"""A folder handed to ranks that lack it arrives whole, whatever its files hold; the others get nothing."""

import os
from pathlib import Path

from support.forked_ranks import on_forked_ranks

from simcrop.adapters.system import handing
from simcrop.adapters.system.handing import hand_folder
from simcrop.adapters.system.ranks import TorchRanks


def test_a_folder_arrives_as_it_is_on_the_ranks_that_lack_it(tmp_path: Path) -> None:
    source = tmp_path / "step_00000001"
    (source / "tokenizer").mkdir(parents=True)
    contents = {"empty": b"", "one": b"\0", "tokenizer/long": os.urandom(50_001), "whole chunks": os.urandom(20_000)}
    for name, content in contents.items():
        (source / name).write_bytes(content)

    def hand(ranks: TorchRanks) -> None:
        handing.CHUNK_BYTES = 10_000
        hand_folder(source if ranks.rank == 0 else None, tmp_path / f"got {ranks.rank}" / "folder", [2], ranks)

    assert on_forked_ranks(3, hand) == [None] * 3
    got = tmp_path / "got 2" / "folder"
    assert {
        path.relative_to(got).as_posix(): path.read_bytes() for path in got.rglob("*") if path.is_file()
    } == contents
    assert not (tmp_path / "got 0").exists()
    assert not (tmp_path / "got 1").exists()
    assert [path.name for path in got.parent.iterdir()] == ["folder"]
