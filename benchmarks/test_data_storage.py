"""Prepared volumes, raw and compressed: a whole one, a random box, and batches of the training loader.

The volume is the largest CT in the folder that SIMCROP_REAL_CT names, else a phantom chest, on the grid of `vit_b`; the
files are copies of it. Raw storage is the baseline. Warm reads of one volume are timed by the time of a core, all else
on the wall. Cold: the pages of all files were dropped before each round, in which each is read once. Nothing is timed
before it has returned the voxels of the raw array.
"""

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from test_data import BOX, BOX_BYTES, GRID, STUDIES, chest, our_batches

from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.loading.costs import drop_pages
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.storage import StorageName
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.augment import crop
from simcrop.core.data.study import Report, Study

VOLUME_BYTES = 2 * int(np.prod(GRID.size))
STEPS = 6
COPIES = 2 * STEPS * STUDIES
"""As many as are read in a round, and as the workers may read ahead of it."""
STORAGES: dict[str, StorageName] = {"raw storage": "raw", "simcrop blosc2 storage": "blosc2"}
pytestmark = pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="pages cannot be dropped here")
OF_A_CORE = pytest.mark.benchmark(timer=time.process_time)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    if real := os.environ.get("SIMCROP_REAL_CT"):
        scans = [path for path in Path(real).glob("*.nii.gz") if "__" not in path.name]
        shutil.copy(max(scans, key=lambda path: path.stat().st_size), folder / "0.nii.gz")
    else:
        write_nifti(folder / "0.nii.gz", chest(), np.diag([0.75, 0.75, 1.25, 1]))
    (folder / "studies.csv").write_text("volume,findings,impression\n0.nii.gz,The heart is normal.,\n")
    return folder


@pytest.fixture(scope="module", params=STORAGES)
def stored(folder: Path, request: pytest.FixtureRequest) -> tuple[str, PreparedVolumes]:
    """The name of a storage, and many copies of the volume in it."""
    source, storage = ManifestSource(folder / "studies.csv"), STORAGES[request.param]
    prepared = prepare(source, source.studies(), GRID, folder / "prepared", storage=storage)
    (index,) = prepared.folder.glob("index_*.jsonl")
    row = json.loads(index.read_text())
    for name in names():
        shutil.copy(prepared.array_file("0.nii.gz"), prepared.array_file(name))
    index.write_text("".join(json.dumps({**row, "name": name}) + "\n" for name in ["0.nii.gz", *names()]))
    size = prepared.array_file("0.nii.gz").stat().st_size
    return f"{request.param}, {size / 1e6:.1f} MB a volume", PreparedVolumes(source, GRID, folder / "prepared", storage)


@pytest.fixture(scope="module")
def known(folder: Path) -> torch.Tensor:
    source = ManifestSource(folder / "studies.csv")
    return prepare(source, source.studies(), GRID, folder / "known").read("0.nii.gz")


def names() -> Sequence[str]:
    return [f"{number}.nii.gz" for number in range(1, COPIES + 1)]


def dropper(prepared: PreparedVolumes, state: str) -> Callable[[], None]:
    """What has to be done before a round."""

    def drop() -> None:
        for name in names():
            drop_pages(prepared.array_file(name))

    if state == "warm":
        return lambda: None
    os.sync()
    drop()
    blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
    path = prepared.array_file(names()[0])
    path.read_bytes()
    if 512 * (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - blocks) < path.stat().st_size // 2:
        pytest.skip("this file system keeps the pages that it is asked to drop")
    return drop


@pytest.mark.parametrize("state", [pytest.param("warm", marks=OF_A_CORE), "cold"])
@pytest.mark.parametrize("what", ["whole", "box"])
def test_data_storage_reading(
    what: str,
    state: str,
    stored: tuple[str, PreparedVolumes],
    known: torch.Tensor,
    measure_reading: Callable[..., None],
) -> None:
    name, prepared = stored
    size, start = (GRID.size, (0, 0, 0)) if what == "whole" else (BOX, (11, 19, 7))
    into, order = torch.empty(size, dtype=torch.int16), iter(())

    def read() -> None:
        nonlocal order
        chosen = next(order, None)
        if chosen is None:
            order = iter(names())
            chosen = next(order)
        prepared.read_box(chosen, start, into)

    # Every file is verified by then, as it is after the first epoch of a run.
    for _ in names():
        read()
        assert torch.equal(into, crop(known, start, size))
    before = dropper(prepared, state)
    num_bytes = VOLUME_BYTES if what == "whole" else BOX_BYTES
    group = f"a prepared volume, {state}: {what}, {' x '.join(map(str, size))}"
    measure_reading(group, name, read, volumes=1, num_bytes=num_bytes, before=before, rounds=20)


@pytest.mark.parametrize("state", ["warm", "cold"])
def test_data_storage_by_the_loader(
    state: str, stored: tuple[str, PreparedVolumes], known: torch.Tensor, measure_reading: Callable[..., None]
) -> None:
    name, prepared = stored
    studies = [Study(each, each, Report("The heart is normal.", ""), (each,)) for each in names()]
    batches = our_batches(prepared, studies, num_workers=2)
    for batch in islice(batches, COPIES // STUDIES):
        for box, drawn in zip(batch.volume.view(-1, *BOX), batch.augmentations, strict=True):
            assert torch.equal(box, crop(known, drawn.start, BOX))

    def steps() -> None:
        for _ in islice(batches, STEPS):
            pass

    volumes = STEPS * STUDIES
    before = dropper(prepared, state)
    measure_reading(
        f"batches of {STUDIES} random boxes, 2 workers, {state}",
        name,
        steps,
        volumes=volumes,
        num_bytes=volumes * BOX_BYTES,
        before=before,
        rounds=5,
    )
