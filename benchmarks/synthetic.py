"""Make studies from nothing but a number, for what is timed after they are read: prepared volumes, batches, steps."""

import random
import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.loading.batches import StudyBatches
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.core.data.items import ItemReader, ReadingSpec
from simcrop.core.data.problems import OnProblem
from simcrop.core.data.study import Report, Study, Volume
from simcrop.core.ports import DataSet, Tokenizer
from simcrop.core.reports.reader import ReportReader

AIR, LUNG, TISSUE, NOISE = -1000, -850, 40, 30
"""HU."""
COMMON = 200
"""Words that reports are made of: each becomes one token."""


@dataclass(frozen=True)
class Chests(DataSet):
    """Chests without detail, already on the grid that they are prepared on.

    Attributes:
        number: of studies.
        grid: of every volume.
        sentences, words: of every report; words of a sentence.
        num_words: in use, the most common of them in reports.
    """

    number: int
    grid: Grid
    sentences: int
    words: int
    num_words: int
    identity: str = "synthetic chests"

    def studies(self) -> Sequence[Study]:
        names = [f"synthetic_{index}" for index in range(self.number)]
        return [Study(name, name, self._report(index), (name,)) for index, name in enumerate(names)]

    def files(self) -> Iterator[Path]:
        return iter(())

    def volume_file(self, reconstruction: str) -> Path:
        return Path(reconstruction)

    def read_volume(self, reconstruction: str) -> Volume:
        axes = [torch.linspace(-1, 1, size) for size in self.grid.size]
        x, y, _ = torch.meshgrid(*axes, indexing="ij")
        hu = torch.full(self.grid.size, float(AIR))
        hu[(x / 0.9).square() + (y / 0.7).square() < 1] = TISSUE
        hu[((x.abs() - 0.42) / 0.3).square() + (y / 0.5).square() < 1] = LUNG
        draw = torch.Generator().manual_seed(int(reconstruction.rpartition("_")[2]))
        hu += NOISE * torch.randn(self.grid.size, generator=draw)
        return Volume(hu.round().to(torch.int16), torch.diag(torch.tensor([*self.grid.spacing_mm, 1.0])))

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        return None

    def _report(self, index: int) -> Report:
        draw = random.Random(index)
        known = words_of(self.num_words)[:COMMON]
        lines = [" ".join(draw.choices(known, k=self.words)).capitalize() + "." for _ in range(self.sentences)]
        return Report(" ".join(lines), lines[0])


@cache
def words_of(number: int) -> list[str]:
    """So many words."""
    letters = random.Random(0)
    return ["".join(letters.choices(string.ascii_lowercase, k=6)) for _ in range(number)]


def corpus(num_words: int) -> list[str]:
    """Texts from which a tokenizer learns as many tokens as there are words, the most common ones whole."""
    words = words_of(num_words)
    return [" ".join(words)] * 2 + [" ".join(words[:COMMON])] * 20


def chests(config: RunConfig, number: int, *, sentences: int, words: int) -> Chests:
    """Studies that fit a configuration."""
    assert config.data.prepared_size is not None
    grid = Grid(config.model.spacing_mm, config.data.prepared_size)
    return Chests(number, grid, sentences, words, config.text_encoder.vocab_size)


def prepared(source: Chests, folder: Path, *, workers: int = 1) -> PreparedVolumes:
    """Their volumes, in a cache as training reads them."""
    return prepare(source, source.studies(), source.grid, folder, workers=workers)


def study_batches(
    config: RunConfig, source: Chests, volumes: PreparedVolumes, tokenizer: Tokenizer, *, num_workers: int = 0
) -> StudyBatches:
    """Batches of them, as training reads them."""
    spec = ReadingSpec(config.model, config.objectives, config.data.augment, config.seed)
    reader = ItemReader(volumes, ReportReader.of(tokenizer, config.text_encoder), spec)
    pin_memory = torch.cuda.is_available()
    return StudyBatches(source.studies(), reader, config.train, num_workers=num_workers, pin_memory=pin_memory)
