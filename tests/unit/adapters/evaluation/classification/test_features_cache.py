"""Features are computed once: kept over a kill, found again, and never taken for another volume's."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from simcrop.adapters.evaluation.classification.features_cache import FeatureKind, volume_features
from simcrop.core.errors import DataError
from simcrop.core.training.stopping import Stopped

SIZE = (4, 4, 4)
NAMES = tuple(f"v{number}" for number in range(10))


class FilePrepared:
    """Prepared volumes of one value each, as files of that name in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "grid_0"
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, value: int) -> None:
        np.save(self.array_file(name), np.full(SIZE, value, np.int16))

    def array_file(self, name: str) -> Path:
        return self.folder / f"{name}.npy"

    def read_centre(self, name: str, size: tuple[int, int, int]) -> Tensor:
        assert size == SIZE
        if not self.array_file(name).exists():
            raise DataError(f"{name}: cannot be read; delete it")
        return torch.from_numpy(np.load(self.array_file(name)))


class Counting:
    """Features that tell the volume's value; counts how many were computed."""

    def __init__(self) -> None:
        self.num_read = 0

    def __call__(self, volumes: Tensor) -> Tensor:
        self.num_read += len(volumes)
        value = volumes.flatten(1).double().mean(1)
        return torch.stack([value, -value, value / 3], 1)


@pytest.fixture
def prepared(tmp_path: Path) -> FilePrepared:
    volumes = FilePrepared(tmp_path / "prepared")
    for number, name in enumerate(NAMES):
        volumes.write(name, 10 * number)
    return volumes


def read(
    prepared: FilePrepared,
    cache: Path,
    compute: Counting,
    names: Sequence[str] = NAMES,
    *,
    identity: str = "one",
    batch_size: int = 3,
    should_stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = lambda: 0.0,
) -> Tensor:
    return volume_features(
        names,
        FeatureKind([identity], compute, SIZE),
        prepared,  # pyright: ignore[reportArgumentType]
        cache,
        batch_size=batch_size,
        should_stop=should_stop,
        clock=clock,
    )


def test_features_are_in_the_order_asked_for_and_computed_once(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()
    found = read(prepared, tmp_path, compute)
    assert found.dtype == torch.float32
    assert found[:, 0].tolist() == [10.0 * number for number in range(10)]
    assert found[3].tolist() == pytest.approx([30.0, -30.0, 10.0])
    assert compute.num_read == 10
    backwards = read(prepared, tmp_path, compute, NAMES[::-1])
    assert torch.equal(backwards, found.flip(0))
    assert compute.num_read == 10
    assert len(list(tmp_path.glob("features_*/part_*.npz"))) == 1, "few files, not one a study"


def test_what_is_missing_is_added(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()
    read(prepared, tmp_path, compute, NAMES[:4])
    found = read(prepared, tmp_path, compute)
    assert compute.num_read == 10
    assert found[:, 0].tolist() == [10.0 * number for number in range(10)]


def test_another_encoder_or_kind_is_no_hit(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()
    read(prepared, tmp_path, compute)
    read(prepared, tmp_path, compute, identity="two")
    assert compute.num_read == 20
    assert len(list(tmp_path.glob("features_*"))) == 2


def test_a_volume_that_was_prepared_anew_is_encoded_anew(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()
    read(prepared, tmp_path, compute)
    prepared.write("v4", 7)
    os.utime(prepared.array_file("v4"), ns=(0, 123))
    found = read(prepared, tmp_path, compute)
    assert compute.num_read == 11
    assert found[:, 0].tolist() == [0.0, 10.0, 20.0, 30.0, 7.0, 50.0, 60.0, 70.0, 80.0, 90.0]


def test_a_request_to_stop_keeps_what_is_computed(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()
    with pytest.raises(Stopped):
        read(prepared, tmp_path, compute, should_stop=lambda: compute.num_read >= 6)
    assert compute.num_read == 6
    read(prepared, tmp_path, compute)
    assert compute.num_read == 10


def test_an_exit_by_a_signal_and_a_damaged_volume_keep_it_too(prepared: FilePrepared, tmp_path: Path) -> None:
    compute = Counting()

    def interrupted() -> bool:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        read(prepared, tmp_path, compute, should_stop=interrupted)
    prepared.array_file("v8").unlink()
    with pytest.raises(DataError, match="v8: cannot be read"):
        read(prepared, tmp_path, compute)
    assert compute.num_read == 6, "the second batch of what was missing, v3 to v5, came before the damaged one"
    prepared.write("v8", 80)
    read(prepared, tmp_path, compute)
    assert compute.num_read == 10


def test_a_kill_costs_a_minute_at_most(prepared: FilePrepared, tmp_path: Path) -> None:
    ticks: Iterator[float] = iter([0.0, *(25.0 * number for number in range(1, 100))])
    parts: list[int] = []

    def watch() -> bool:
        parts.append(len(list(tmp_path.glob("features_*/part_*.npz"))))
        return False

    read(prepared, tmp_path, Counting(), batch_size=1, should_stop=watch, clock=lambda: next(ticks))
    assert parts[0] == 0
    assert parts[-1] >= 3


def test_a_damaged_file_is_computed_anew_with_a_warning(
    prepared: FilePrepared, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compute = Counting()
    first = read(prepared, tmp_path, compute)
    [part] = tmp_path.glob("features_*/part_*.npz")
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 255
    part.write_bytes(data)
    again = read(prepared, tmp_path, compute)
    assert torch.equal(first, again)
    assert compute.num_read == 20
    assert f"{part}: cannot be read" in caplog.text
    part.write_bytes(b"")
    read(prepared, tmp_path, compute)
    assert compute.num_read == 20, "the newer file holds all"
