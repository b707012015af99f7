"""Protocols of everything that the domain asks of the outside world; `simcrop.adapters` implements them.

Training, evaluation and the model know only these names, so a test hands them a small fake instead.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

import torch
from jaxtyping import Bool, Float, Float16, Int16, Int64
from torch import Tensor, nn

from simcrop.core.data.batch import Encoding
from simcrop.core.data.problems import OnProblem
from simcrop.core.data.study import Report, SentenceTruth, Study, Volume
from simcrop.core.errors import DataError
from simcrop.core.evaluation.published import UNPUBLISHED, PublishedProbe
from simcrop.core.recipe import Size

State = dict[str, Any]
"""A tree of dicts, lists, numbers, strings and tensors."""


class TruthSource(Protocol):
    """A source of the places that sentences speak of."""

    label_names: tuple[str, ...] = ()
    """Of the findings that studies are labelled with."""
    identity: str
    """Names the data set and how its files become HU: part of the key under which prepared volumes are kept."""

    def ground_truth(self, reconstruction: str) -> Sequence[SentenceTruth]:
        """Truth about each sentence's place; empty where nothing is known."""
        return ()

    @abstractmethod
    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """One ground-truth mask (voxels above 0 are inside) on its own grid, RAS+ order.

        Raises:
            DataError: the volume has none of that name, or it is damaged.
        """


class Eraser(Protocol):
    """Makes volumes of a data set again, as they would be without a finding; only made data can have one."""

    @abstractmethod
    def without(self, reconstruction: str, masks: Sequence[str]) -> Volume:
        """One volume, as `DataSet.read_volume` has it, without the findings that these masks show.

        Patient, noise and all other findings stay. Without a mask it is the volume of the file, voxel for voxel.

        Raises:
            DataError: it cannot be made again, or has no such finding.
        """


class OrganSource(Protocol):
    """A source of masks of organs, by the names of volumes."""

    identity: str
    """Names where they are from."""

    @abstractmethod
    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Organ name -> name of its mask; empty where nothing is known."""

    @abstractmethod
    def organ_files(self, reconstruction: str) -> Sequence[Path]:
        """The files that say where the organs are."""

    @abstractmethod
    def read_masks(self, reconstruction: str, names: Sequence[str]) -> Iterator[Volume]:
        """Several masks (voxels above 0 are inside), each on its own grid, RAS+ order, in that order.

        Raises:
            DataError: the volume has none of that name, or one is damaged.
        """


class DataSet(TruthSource, Protocol):
    """A data set: its studies, their volumes by name, and what is known of both.

    What is not abstract has a default here, for classes that derive from this one.
    """

    label_table: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Label -> its columns among `label_names`, where the table of labels is always the same; empty elsewhere."""
    has_exclusive_labels: bool = False
    """Whether a study has exactly one of the labels, unless the configuration says otherwise."""
    organ_names: tuple[str, ...] = ()
    """Organs that masks tell apart, where the data set has a list of them; empty elsewhere."""
    published: PublishedProbe = UNPUBLISHED
    """The authors' probe of this data set."""
    eraser: Eraser | None = None
    """Takes findings out of its volumes; None where they were not made."""
    excluded: Sequence[str] = ()
    """Volumes that are in no study any more since a list leaves them out, though `files` has them."""
    exclusion_note: str = ""
    """What that list came to, in one line; empty without one."""

    @abstractmethod
    def studies(self) -> Sequence[Study]:
        """Every study, in an order that never changes."""

    @abstractmethod
    def files(self) -> Iterator[Path]:
        """Every volume on disk that is not in quarantine, whether a study has it or not."""

    @abstractmethod
    def volume_file(self, reconstruction: str) -> Path:
        """The file, or the folder of slices, behind a volume: for messages and cache keys."""

    @abstractmethod
    def read_volume(self, reconstruction: str) -> Volume:
        """One volume in HU on its own grid, RAS+ order. Raises DataError naming the file."""

    @abstractmethod
    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume's file, holding little of it; a hash of its voxels, or None."""

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Organ name -> name of its mask; empty where nothing is known."""
        return {}

    def organ_files(self, reconstruction: str) -> Sequence[Path]:
        """The files that say where the organs are."""
        return ()

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        raise DataError(f"{reconstruction}: has no mask {name!r}; it has {', '.join(self.organs(reconstruction))}")

    def read_masks(self, reconstruction: str, names: Sequence[str]) -> Iterator[Volume]:
        """Several masks as `read_mask` has them, in that order."""
        return (self.read_mask(reconstruction, name) for name in names)


class Volumes(Protocol):
    """The volumes of a data set on one grid; masks of the same size."""

    size: Size
    """Voxels of each volume."""

    def read(self, reconstruction: str) -> Int16[Tensor, "H W D"]:
        """Voxels in HU. Raises DataError where they are absent or damaged."""
        ...

    def read_box(
        self, reconstruction: str, start: Size, box: Int16[Tensor, "h w d"], *, pad: Literal["air", "reflect"] = "air"
    ) -> None:
        """Fill a box that begins at voxel `start`, with `pad` outside the volume. Raises DataError as `read` does."""
        ...

    def read_centre(self, reconstruction: str, size: Size) -> Int16[Tensor, "h w d"]:
        """The box of `size` at the centre, as evaluation sees the volume."""
        ...

    def read_mask(self, reconstruction: str, name: str) -> Bool[Tensor, "H W D"]:
        """A ground-truth mask on the grid of the volume."""
        ...

    def affine(self, reconstruction: str) -> Float[Tensor, "4 4"]:
        """Maps indices of the voxels to world coordinates in mm, RAS."""
        ...


class OrganBoxes(Protocol):
    """Where the organs of a data set's volumes are, on the grid of `Volumes`; class c is bit c of a voxel's number."""

    def known(self, reconstruction: str) -> Sequence[bool]:
        """Whether a volume has masks of each class."""
        ...

    def read_box(
        self, reconstruction: str, start: Size, box: Int16[Tensor, "h w d"], *, pad: Literal["air", "reflect"] = "air"
    ) -> None:
        """Fill a box as `Volumes.read_box` does, with no class in air. Raises DataError as that does."""
        ...


class Tokenizer(Protocol):
    """Turns sentences into tokens."""

    vocab_size: int
    pad_id: int
    mask_id: int
    cls_id: int
    sep_id: int
    unk_id: int

    def encode(self, sentences: Sequence[str], *, max_tokens: int, separator: bool = True) -> Encoding:
        """Tokens of the sentences in order, cut after the last whole one that fits `max_tokens` (special tokens count).

        A single sentence longer than the limit is cut at the limit. `separator`: whether one stands behind the last.
        """
        ...

    def tokens(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Ids of the tokens of a text, special ones left out, and the characters of each: first, and past the last."""
        ...


class TextEncoder(Protocol):
    """A BERT-type encoder; the implementation is an nn.Module."""

    hidden_size: int

    def __call__(
        self,
        input_ids: Int64[Tensor, "B T"],
        attention_mask: Bool[Tensor, "B T"],
        sentence_of_token: Int64[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T hidden"]:
        """Last hidden state.

        Where `sentence_of_token` is given, each sentence is read by itself: a token attends to those of its own number
        alone, and its position is counted from their first.
        """
        ...


class FindingsFeatures(Protocol):
    """Features of findings that a frozen text encoder has made ahead of training."""

    def read(self, report: Report, findings: Encoding) -> Float16[Tensor, "T hidden"]:
        """The features of a report's findings, a row for each token. Raises DataError where they are absent."""
        ...


class Communicator(Protocol):
    """The ranks of one run. With one rank every method is the identity."""

    rank: int
    world_size: int

    def sum(self, value: Tensor) -> Tensor:
        """Sum over ranks, without gradient; of a CPU tensor without a GPU."""
        ...

    def gather(self, value: Tensor) -> Tensor:
        """Concatenation over ranks along dim 0, with gradient; the sizes are equal on every rank.

        The backward pass sums what all ranks send back for a slice to the rank that it came from.
        """
        ...

    def meet(self, fact: str = "") -> Sequence[str]:
        """What every rank says, in their order; waits as long as all of them live."""
        ...


class SingleProcess:
    """The communicator of a run of one process."""

    rank = 0
    world_size = 1

    def sum(self, value: Tensor) -> Tensor:
        return value.detach()

    def gather(self, value: Tensor) -> Tensor:
        return value

    def meet(self, fact: str = "") -> Sequence[str]:
        return [fact]


def summed(communicator: Communicator, numbers: Sequence[int]) -> list[int]:
    """Integers summed over ranks, by their CPUs alone: no GPU is waited for."""
    sums: list[int] = communicator.sum(torch.tensor(numbers, dtype=torch.int64)).tolist()
    return sums


class CheckpointStore(Protocol):
    """Keeps checkpoints whole or not at all, maybe while training goes on."""

    def save(self, step: int, model: nn.Module, state: State, *, metrics: Mapping[str, float] | None = None) -> None:
        """Keep all as it is now; `metrics` with `validation_loss` makes it a candidate for the best."""
        ...

    def check(self) -> None:
        """Raise what is known to have gone wrong with one that was to be kept."""
        ...

    def finish(self) -> None:
        """Wait until all are kept, and raise what goes wrong with them."""
        ...


class MetricSink(Protocol):
    """Receives one row of numbers a step."""

    def write(self, row: Mapping[str, float | int]) -> None: ...

    def rewind(self, step: int) -> None:
        """Forget every row after `step`: a resumed run writes each step once."""
        ...

    def close(self) -> None: ...


class PictureSink(Protocol):
    """Draws what the model does at a step."""

    def draw(self, step: int, model: nn.Module) -> None: ...
