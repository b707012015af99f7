"""Defaults of the ports: a run of one process, and the usual data set."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from simcrop.core.data.study import Report, Study, Volume
from simcrop.core.ports import DataSet, SingleProcess


class TwoFiles(DataSet):
    """A data set with what it must have, and no more."""

    def studies(self) -> list[Study]:
        return [Study("s", "p", Report("", ""), ("a",))]

    def files(self) -> Iterator[Path]:
        return iter((Path("a"), Path("b")))

    def volume_file(self, reconstruction: str) -> Path:
        return Path(reconstruction)

    def read_volume(self, reconstruction: str) -> Volume:
        raise NotImplementedError

    def inspect(self, reconstruction: str, on_problem: Any) -> str | None:
        return None

    def ground_truth(self, reconstruction: str) -> list[Any]:
        return []

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        return Volume(torch.tensor([[[ord(name)]]], dtype=torch.int16), torch.eye(4))


def test_one_process_is_the_identity_and_a_sum_is_without_gradient() -> None:
    alone, value = SingleProcess(), torch.ones(2, requires_grad=True)
    assert (alone.rank, alone.world_size) == (0, 1)
    assert alone.gather(value) is value
    assert torch.equal(alone.sum(value), torch.ones(2))
    assert not alone.sum(value).requires_grad


def test_masks_are_read_one_after_the_other_and_organs_are_none_where_a_data_set_says_nothing_else() -> None:
    data = TwoFiles()
    assert [int(mask.voxels) for mask in data.read_masks("a", ["x", "y"])] == [ord("x"), ord("y")]
    assert dict(data.organs("a")) == {}
    assert list(data.organ_files("a")) == []
