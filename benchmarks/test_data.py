"""Reading CT volumes, from .nii.gz and prepared, against nibabel and MONAI; and the training loader.

The volumes are one synthetic chest of 512 x 512 x 300 voxels, with the noise of a scanner, so that gzip makes as little
of it as of a real one. Its spacing is such that MONAI's grid, which begins at the first voxel, and ours, which lies
around the centre, are the same. Nothing is timed before it has returned the voxels that the others return.

All run on one thread, as the processes that prepare and those that load batches do. Of MONAI each step gets the
cheapest setting that returns the same voxels: int16 from the file, float32 in Spacing, no copy of what CacheDataset
holds. A box is a copy in memory, as a batch needs it.
"""

import csv
import os
import random
import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import Tensor

from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.formats.opening import read_volume
from simcrop.adapters.loading.batches import StudyBatches
from simcrop.adapters.loading.costs import drop_pages
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare, prepare_one
from simcrop.adapters.loading.resample import HU_RANGE, Grid, resample_volume
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.phantom.render import render
from simcrop.adapters.sources.phantom.specification import plan, sample_study
from simcrop.adapters.text.tokenizer import train_tokenizer
from simcrop.core.data.augment import AIR_HU, Augmenter, crop
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.data.items import ItemReader, ReadingSpec
from simcrop.core.data.study import Study
from simcrop.core.recipe import PRESETS, AugmentRecipe, ModelRecipe, ObjectivesRecipe, Size, TrainRecipe
from simcrop.core.reports.reader import ReportReader

RAW = (512, 512, 300)
RECIPE = ModelRecipe(preset="vit_b", **PRESETS["vit_b"]["model"])
GRID = Grid(RECIPE.spacing_mm, (256, 256, 128))
BOX = RECIPE.volume_size
RAW_BYTES, BOX_BYTES = (2 * int(np.prod(size)) for size in (RAW, BOX))
NOISE_HU = 12.0
STUDIES, STEPS = 4, 6
TOLERANCE_HU = 1
"""Between ours and MONAI's voxels, where a value lies between two whole numbers. Left out is the outermost plane: its
centres lie on the source's outermost centres, and rounding decides whether that is inside."""
READING = "reading {} x {} x {} voxels from .nii.gz".format(*RAW)
PREPARING = "preparing: from .nii.gz to {} x {} x {}".format(*GRID.size)
A_BOX = "a random box of {} x {} x {} voxels".format(*BOX)
LOADING = "batches of {} random boxes of {} x {} x {} voxels".format(STUDIES, *BOX)
AUGMENT = AugmentRecipe(shift_probability=0.0)


@dataclass(frozen=True, eq=False)
class Data:
    """The files that all read.

    Attributes:
        folder: where caches may be made.
        source: several studies of the same voxels, each a file of its own name.
        raw: one of the files.
        known: its voxels, in RAS order.
        prepared: the volumes of all studies.
    """

    folder: Path
    source: ManifestSource
    raw: Path
    known: np.ndarray
    prepared: PreparedVolumes

    @property
    def studies(self) -> Sequence[Study]:
        return self.source.studies()

    @property
    def name(self) -> str:
        return self.studies[0].reconstructions[0]

    def fresh(self) -> PreparedVolumes:
        """The prepared volumes as a new process finds them: none is verified yet."""
        return PreparedVolumes(self.source, GRID, self.folder / "prepared")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder = tmp_path_factory.mktemp("data")
    known = chest()
    spacing = [(there - 1) * mm / (here - 1) for there, mm, here in zip(GRID.size, GRID.spacing_mm, RAW, strict=True)]
    # Stored from left to right and from front to back, as CT-RATE's files are.
    write_nifti(folder / "0.nii.gz", known[::-1, ::-1], np.diag([-spacing[0], -spacing[1], spacing[2], 1]))
    words = random.Random(0)
    with (folder / "studies.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["volume", "findings", "impression"])
        for number in range(STUDIES):
            if number:
                (folder / f"{number}.nii.gz").hardlink_to(folder / "0.nii.gz")
            rows.writerow([f"{number}.nii.gz", report(words, 32), report(words, 4)])
    source = ManifestSource(folder / "studies.csv")
    prepared = prepare(source, source.studies(), GRID, folder / "prepared", workers=os.cpu_count() or 1)
    return Data(folder, source, folder / "0.nii.gz", known, prepared)


def chest() -> np.ndarray:
    """A phantom without its own noise, at half the size, doubled; then noise, and padding outside the gantry."""
    study = sample_study(plan(1, 0, 0.0)[0], 0)
    x, y, z = (n // 2 for n in RAW)
    grid = replace(
        study.reconstructions[0],
        shape=(x, y, z),
        spacing_mm=(1.5, 1.5, 2.5),
        center_mm=(0.0, 0.0, 0.0),
        orientation="RAS",
        noise_hu=0.0,
    )
    painted = torch.from_numpy(render(study, grid).hu)[None, None].float()
    hu = torch.nn.functional.interpolate(painted, size=RAW, mode="trilinear")[0, 0]
    hu += NOISE_HU * torch.randn(hu.shape, generator=torch.Generator().manual_seed(0))
    across, deep = torch.linspace(-1, 1, RAW[0])[:, None], torch.linspace(-1, 1, RAW[1])
    hu[across**2 + deep**2 > 1] = HU_RANGE[0]
    return hu.round().clamp(*HU_RANGE).to(torch.int16).numpy()


def report(words: random.Random, num_sentences: int) -> str:
    known = ("no", "nodule", "effusion", "heart", "normal", "left", "right", "lower", "lobe", "consolidation", "seen")
    return " ".join(" ".join(words.choices(known, k=12)).capitalize() + "." for _ in range(num_sentences))


def read_by_simcrop(data: Data) -> np.ndarray:
    return read_volume(data.raw).voxels.numpy()


def read_by_nibabel(data: Data) -> np.ndarray:
    """Of the axes turned about only a view, so that it costs nothing."""
    image: Any = nib.load(data.raw)
    return np.asarray(image.dataobj)[::-1, ::-1]


def read_by_nibabel_as_floats(data: Data) -> np.ndarray:
    image: Any = nib.load(data.raw)
    return image.get_fdata()[::-1, ::-1]


def read_by_monai(data: Data) -> np.ndarray:
    load = pytest.importorskip("monai.transforms").LoadImage(image_only=True, dtype=np.int16)
    return load(data.raw).numpy()[::-1, ::-1]


READERS = {
    "simcrop read_volume": read_by_simcrop,
    "nibabel dataobj": read_by_nibabel,
    "nibabel get_fdata": read_by_nibabel_as_floats,
    "MONAI LoadImage": read_by_monai,
}


@pytest.mark.parametrize("name", READERS)
def test_data_reading_from_nifti(name: str, data: Data, measure_reading: Callable[..., None]) -> None:
    assert np.array_equal(READERS[name](data), data.known)
    measure_reading(READING, name, lambda: READERS[name](data), volumes=1, num_bytes=RAW_BYTES, rounds=3)


def prepare_by_simcrop(data: Data) -> Tensor:
    return resample_volume(data.source.read_volume(data.name), GRID)[0]


def write_by_simcrop(data: Data) -> Tensor:
    elsewhere = PreparedVolumes(data.source, GRID, data.folder / "written")
    assert isinstance(prepare_one((data.source, elsewhere), data.name), dict)
    return torch.from_numpy(np.load(elsewhere.array_file(data.name), mmap_mode="c"))


def monai_steps() -> list[Any]:
    """From a file's name to what we call prepared."""
    transforms = pytest.importorskip("monai.transforms")
    low, high = HU_RANGE
    return [
        transforms.LoadImage(image_only=True, dtype=np.int16),
        transforms.EnsureChannelFirst(),
        transforms.Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
        transforms.ScaleIntensityRange(a_min=low, a_max=high, b_min=low, b_max=high, clip=True),
        transforms.Spacing(GRID.spacing_mm, mode="bilinear", padding_mode="border", dtype=np.float32),
        transforms.ResizeWithPadOrCrop(GRID.size, mode="constant", value=AIR_HU),
        transforms.Lambda(whole_numbers),
    ]


def whole_numbers(voxels: Tensor) -> Tensor:
    return voxels.round().to(torch.int16)


def prepare_by_monai(data: Data) -> Tensor:
    transforms = pytest.importorskip("monai.transforms")
    return transforms.Compose(monai_steps())(data.raw)[0].as_tensor()


PREPARERS = {
    "simcrop, read and resample": prepare_by_simcrop,
    "simcrop data prepare: checked, written and synced too": write_by_simcrop,
    "MONAI transforms": prepare_by_monai,
}


@pytest.mark.parametrize("name", PREPARERS)
def test_data_reading_for_preparing(name: str, data: Data, measure_reading: Callable[..., None]) -> None:
    assert_same(PREPARERS[name](data), data)
    measure_reading(PREPARING, name, lambda: PREPARERS[name](data), volumes=1, num_bytes=RAW_BYTES, rounds=2)


def assert_same(voxels: Tensor, data: Data, where: Sequence[slice] = (slice(None),) * 3) -> None:
    """These are the voxels of the prepared volume, or of a box of it."""
    known = data.prepared.read(data.name)
    inner = torch.zeros(GRID.size, dtype=torch.bool)
    inner[1:-1, 1:-1, 1:-1] = True
    apart = (voxels.int() - known[tuple(where)].int()).abs()[inner[tuple(where)]]
    assert voxels.shape == known[tuple(where)].shape
    assert voxels.dtype == torch.int16
    assert int(apart.max()) <= TOLERANCE_HU


class OurBoxes:
    """Random boxes as training reads them; the draw is a part of it."""

    def __init__(self, data: Data) -> None:
        self.prepared = data.prepared
        self.name = data.name
        self.draws = 0
        self.where: tuple[slice, ...] = ()

    def read(self) -> Tensor:
        self.draws += 1
        drawn = Augmenter(AUGMENT, replace(RECIPE, volume_size=BOX), seed=0).draw(
            GRID.size, "augment", self.draws, self.name
        )
        self.where = tuple(slice(start, start + size) for start, size in zip(drawn.start, drawn.size, strict=True))
        box = torch.empty(BOX, dtype=torch.int16)
        self.prepared.read_box(self.name, drawn.start, box)
        return box


class OurRawBoxes(OurBoxes):
    """The same of a volume that is not prepared."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.prepared: Any = self
        self.data = data

    def read_box(self, name: str, start: Size, box: Tensor) -> None:
        box.copy_(crop(prepare_by_simcrop(self.data), start, BOX))


class MonaiBoxes:
    """Random boxes of a MONAI data set."""

    def __init__(self, data: Data, kind: str) -> None:
        transforms, datasets = pytest.importorskip("monai.transforms"), pytest.importorskip("monai.data")
        self.crop = transforms.RandSpatialCrop(BOX, random_size=False)
        self.crop.set_random_state(0)
        steps = transforms.Compose([*monai_steps(), self.crop, transforms.Lambda(torch.Tensor.contiguous)])
        # One file several times, so that it is prepared once: MONAI keeps it under its name.
        files = [str(data.raw)] * STUDIES
        self.cache = data.folder / "monai"
        if kind == "PersistentDataset":
            self.dataset = datasets.PersistentDataset(files, steps, cache_dir=self.cache)
        elif kind == "CacheDataset":
            self.dataset = datasets.CacheDataset(files[:1], steps, progress=False, copy_cache=False)
        else:
            self.dataset = datasets.Dataset(files, steps)

    @property
    def where(self) -> tuple[slice, ...]:
        return tuple(self.crop._slices)

    def read(self) -> Tensor:
        return self.dataset[0][0]


FIRST, LATER, COLD = "simcrop prepared, first read, verified", "simcrop prepared", "simcrop prepared, pages dropped"
PERSISTENT, PERSISTENT_COLD = "MONAI PersistentDataset", "MONAI PersistentDataset, pages dropped"
OUR_RAW, MONAI_RAW = "simcrop, from .nii.gz", "MONAI transforms, from .nii.gz"
FROM_NIFTI = {"simcrop read_volume": 200, "nibabel dataobj": 200, OUR_RAW: 200, MONAI_RAW: 200}
BOXES = {
    LATER: {**FROM_NIFTI, PERSISTENT: 1},
    FIRST: {**FROM_NIFTI, PERSISTENT: 1},
    COLD: {PERSISTENT_COLD: 1},
    PERSISTENT: {},
    PERSISTENT_COLD: {},
    "MONAI CacheDataset, in memory": {},
    OUR_RAW: {},
    MONAI_RAW: {},
}
"""Who reads a box -> how many times as fast as whom it has to be."""


@pytest.mark.parametrize("name", BOXES)
def test_data_reading_of_boxes(name: str, data: Data, measure_reading: Callable[..., None]) -> None:
    boxes: Any
    if name == OUR_RAW:
        boxes = OurRawBoxes(data)
    elif "MONAI" in name:
        boxes = MonaiBoxes(data, name.partition(" ")[2].partition(",")[0])
    else:
        boxes = OurBoxes(data)
    for _ in range(1 if "nii.gz" in name else 3):
        box = boxes.read()
        assert box.is_contiguous()
        assert_same(box, data, boxes.where)

    def before() -> None:
        if name == FIRST:
            boxes.prepared = data.fresh()
        if "dropped" in name:
            for path in files:
                drop_pages(path)

    files = [*boxes.cache.glob("*.pt")] if "MONAI" in name else [data.prepared.array_file(data.name)]
    if "dropped" in name:
        before()
        blocks = resource.getrusage(resource.RUSAGE_SELF).ru_inblock
        boxes.read()
        if 512 * (resource.getrusage(resource.RUSAGE_SELF).ru_inblock - blocks) < BOX_BYTES:
            pytest.skip("this file system keeps the pages that it is asked to drop")
    rounds = 2 if "nii.gz" in name else 40
    measure_reading(
        A_BOX,
        name,
        boxes.read,
        volumes=1,
        num_bytes=BOX_BYTES,
        before=before,
        rounds=rounds,
        asked=BOXES[name],
    )


def our_batches(prepared: PreparedVolumes, studies: Sequence[Study], num_workers: int) -> Iterator[PreparedBatch]:
    """The training batches, without an end."""
    reports = [text for study in studies for text in (study.report.findings, study.report.impression)]
    words = ReportReader(train_tokenizer(reports, vocab_size=8192, max_tokens=512), 512)
    reader = ItemReader(prepared, words, ReadingSpec(RECIPE, ObjectivesRecipe(), AUGMENT, seed=0))
    batches = StudyBatches(studies, reader, TrainRecipe(batch_size=STUDIES), num_workers=num_workers)
    return (batch for step in batches.batches(1) for batch in step)


def monai_batches(data: Data, num_workers: int) -> Iterator[Tensor]:
    dataset: Any = MonaiBoxes(data, "PersistentDataset").dataset
    order = torch.utils.data.RandomSampler(dataset, replacement=True, num_samples=10**6)
    loader = pytest.importorskip("monai.data").DataLoader
    batches = loader(dataset, batch_size=STUDIES, sampler=order, num_workers=num_workers)
    return (boxes[:, 0].as_tensor() for boxes in batches)


def place_of(box: Tensor, known: Tensor) -> tuple[slice, ...]:
    """Where a box was cut from the prepared volume, by sixteen voxels at its middle; noise tells all places apart."""
    x, y, z = (n // 2 for n in BOX)
    probe = box[x, y, z : z + 16].int()
    starts = [have - want + 1 for have, want in zip(GRID.size, BOX, strict=True)]
    there = known[x : x + starts[0], y : y + starts[1], z : z + starts[2] + 15].int().unfold(2, 16, 1)
    (found,) = ((there - probe).abs().amax(-1) <= TOLERANCE_HU).nonzero().tolist()
    return tuple(slice(start, start + size) for start, size in zip(found, BOX, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("name", ["simcrop StudyBatches", "MONAI DataLoader, PersistentDataset"])
def test_data_reading_by_the_loader(
    name: str, num_workers: int, data: Data, measure_reading: Callable[..., None]
) -> None:
    if "simcrop" in name:
        batches = (each.volume.view(-1, *BOX) for each in our_batches(data.prepared, data.studies, num_workers))
    else:
        batches = monai_batches(data, num_workers)
    for _ in range(4):
        for box in next(batches):
            assert_same(box, data, place_of(box, data.prepared.read(data.name)))

    def step() -> None:
        for _ in range(STEPS):
            next(batches)

    volumes = STEPS * STUDIES
    measure_reading(
        LOADING,
        f"{name}, {num_workers} workers",
        step,
        volumes=volumes,
        num_bytes=volumes * BOX_BYTES,
        rounds=5,
    )
