"""All ranks start from rank 0's checkpoint: found on a shared disk, sent to nodes without it, or refused by name."""

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.checkpoints import make_store, save
from support.forked_ranks import on_forked_ranks

from simcrop.adapters.checkpoints.common_start import common_start
from simcrop.adapters.checkpoints.folder import Checkpoint, newest_whole
from simcrop.adapters.system.ranks import TorchRanks
from simcrop.core.errors import CheckpointError
from simcrop.core.ports import SingleProcess


def run_at(out: Path, *steps: int) -> Path:
    out.mkdir()
    for step in steps:
        save(make_store(out / "checkpoints", keep=9), step)
    return out


def starts(outs: Sequence[Path], nodes: str) -> list[Any]:
    """Step, folder, and one tensor of the state that each rank starts from; None; or an error."""

    def begin(ranks: TorchRanks) -> tuple[int, Path, float] | None:
        out = outs[ranks.rank]
        find: Callable[[], Checkpoint | None] = partial(newest_whole, out / "checkpoints")
        with common_start(find, out, ranks, node=nodes[ranks.rank]) as start:
            if start is None:
                return None
            moments: torch.Tensor = start.training_state()["optimizer"]["encoder.weight"]["exp_avg"]
            assert start.tokenizer_folder().is_dir()
            ranks.meet()  # all have read what goes after the block
            return start.step, start.path, float(moments[0, 0])

    return on_forked_ranks(len(outs), begin)


def test_a_shared_folder_is_read_by_every_rank(tmp_path: Path) -> None:
    out = run_at(tmp_path / "run", 1, 2)
    assert starts([out] * 3, "aab") == [(2, out / "checkpoints" / "step_00000002", 2.0)] * 3


def test_a_fresh_run_starts_nowhere(tmp_path: Path) -> None:
    assert starts([tmp_path / "a", tmp_path / "b"], "ab") == [None, None]
    with common_start(lambda: None, tmp_path, SingleProcess(), node="a") as start:
        assert start is None


@pytest.mark.parametrize("steps", [(), (1,)])
def test_a_node_without_the_checkpoint_is_sent_it_until_the_block_ends(tmp_path: Path, steps: tuple[int, ...]) -> None:
    first, second = run_at(tmp_path / "first", 1, 7), run_at(tmp_path / "second", *steps)
    if steps:
        shutil.copytree(first, second, dirs_exist_ok=True)
        shutil.rmtree(second / "checkpoints" / "step_00000007")
    here, sent = first / "checkpoints" / "step_00000007", second / ".received" / "step_00000007"
    assert starts([first, second, second], "abb") == [(7, here, 7.0), (7, sent, 7.0), (7, sent, 7.0)]
    assert not sent.parent.exists()


def refusals(outs: Sequence[Path]) -> list[str]:
    errors = starts(outs, "abc")
    assert all(isinstance(error, CheckpointError) for error in errors), errors
    return [str(error).partition(": ")[2] for error in errors]


def test_a_newer_checkpoint_on_another_node_is_never_passed_over(tmp_path: Path) -> None:
    none, seven, eight = run_at(tmp_path / "0"), run_at(tmp_path / "7", 7), run_at(tmp_path / "8", 8)
    other = tmp_path / "other"
    save(make_store(other / "checkpoints"), 7, {"loss": 1.0})
    remedy = "make that node the first one, or copy its checkpoints folder to the first, or remove the one that is not"
    (told,) = set(refusals([seven, seven, other]))
    assert told.startswith("rank 2 (c) holds checkpoint step_00000007, another one of that step, and rank 0 (a) goes")
    (told,) = set(refusals([none, none, seven]))
    assert told.startswith(f"rank 2 (c) holds checkpoint step_00000007 and rank 0 (a) has none; {remedy}")
    (told,) = set(refusals([seven, eight, seven]))
    assert told.startswith(f"rank 1 (b) holds checkpoint step_00000008 and rank 0 (a) goes on from step 7; {remedy}")
