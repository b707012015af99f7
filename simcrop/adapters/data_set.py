"""The studies of a run: found or made, divided by patient, resampled onto the model's grid."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from simcrop.adapters.config import DataSettings, RunConfig
from simcrop.adapters.ct_rate import CTRateSource
from simcrop.adapters.findings_features import FindingsFeatures, keep_findings
from simcrop.adapters.hf_tokenizer import HFTokenizer
from simcrop.adapters.loader import HeldOutBatches, StudyBatches, held_out_batches
from simcrop.adapters.manifest import ManifestSource
from simcrop.adapters.phantom import write_phantoms
from simcrop.adapters.prepared import PreparedVolumes, prepare
from simcrop.adapters.progress import counted
from simcrop.adapters.provenance import data_fingerprint
from simcrop.adapters.resample import Grid
from simcrop.core.model import SimCroP
from simcrop.core.ports import Communicator, StudySource, Tokenizer
from simcrop.core.split import split_by_patient
from simcrop.core.study import Batch, Study


@dataclass(frozen=True, eq=False)
class Data:
    """The studies of a run, and their volumes on the model's grid."""

    source: StudySource
    train: list[Study]
    held_out: list[Study]
    prepared: PreparedVolumes
    features: FindingsFeatures | None = None

    @property
    def fingerprint(self) -> str:
        """Hash that changes with the studies, their reports, labels or split."""
        return data_fingerprint({"train": self.train, "validation": self.held_out})

    def reports(self) -> list[str]:
        """The texts that a vocabulary may be learned from."""
        return [text for study in self.train for text in (study.report.findings, study.report.impression)]


def build_source(data: DataSettings) -> StudySource:
    """The data set that `data` names; phantoms are made first where they are missing.

    Raises:
        DataError: a table, file or folder is absent or wrong.
    """
    if data.source == "manifest":
        assert data.manifest is not None
        return ManifestSource(data.manifest, padding_value=data.padding_value, quarantine=data.quarantine)
    assert data.root is not None
    if data.source == "phantom":
        with counted(f"phantom chests in {data.root}") as progress:
            write_phantoms(
                data.root,
                num_cases=data.cases,
                seed=data.phantom_seed,
                validation_fraction=data.validation_fraction,
                progress=progress,
            )
    return CTRateSource(data.root, hu=data.hu, padding_value=data.padding_value, quarantine=data.quarantine)


def prepare_data(config: RunConfig) -> Data:
    """Find the studies, divide them by patient, and resample what is not yet on the model's grid.

    Raises:
        DataError: a table, file or volume is absent or wrong.
    """
    source = build_source(config.data)
    studies = source.studies()
    train, held_out = split_by_patient(studies, config.data.validation_fraction)
    assert config.data.prepared_size is not None
    grid = Grid(config.model.spacing_mm, config.data.prepared_size)
    with counted(f"volumes prepared in {config.data.prepared}") as progress:
        prepared = prepare(source, studies, grid, config.data.prepared, workers=os.cpu_count() or 1, progress=progress)
    return Data(source, train, held_out, prepared)


def read_findings_once(
    config: RunConfig, data: Data, model: SimCroP, tokenizer: HFTokenizer, ranks: Communicator
) -> Data:
    """The data with what a frozen text encoder makes of all findings, where the model needs that and it is to be kept.

    Raises:
        DataError: it cannot be written.
    """
    if model.text_encoder is None or not (model.aligns and config.text_encoder.reads_findings_once):
        return data
    features = keep_findings(
        [*data.train, *data.held_out],
        tokenizer=tokenizer,
        text_encoder=model.text_encoder,
        max_tokens=config.text_encoder.max_tokens,
        cache=config.data.prepared,
        communicator=ranks,
    )
    return replace(data, features=features)


def training_batches(
    config: RunConfig, data: Data, tokenizer: Tokenizer, communicator: Communicator, device: torch.device
) -> StudyBatches:
    """The training batches of this rank. Raises ConfigError where there are fewer studies than one batch needs."""
    return StudyBatches(
        data.train,
        data.prepared,
        tokenizer,
        model=config.model,
        report=config.objectives.report,
        augment=config.data.augment,
        train=config.train,
        max_tokens=config.text_encoder.max_tokens,
        seed=config.seed,
        rank=communicator.rank,
        world_size=communicator.world_size,
        num_workers=config.data.num_workers,
        pin_memory=device.type == "cuda",
        features=data.features,
    )


def held_out_share(
    config: RunConfig, data: Data, tokenizer: Tokenizer, studies: Sequence[Study], communicator: Communicator
) -> Iterable[Batch]:
    """This rank's part of the batches for held-out losses: every `world_size`-th of a fixed list, read when needed.

    Args:
        config: how many studies, and how they are read.
        data: their volumes.
        tokenizer: of the text encoder.
        studies: the held-out ones; the first `evaluation.loss_studies` are taken.
        communicator: the ranks.
    """
    batches = held_out_batches(
        studies[: config.evaluation.loss_studies],
        data.prepared,
        tokenizer,
        model=config.model,
        report=config.objectives.report,
        max_tokens=config.text_encoder.max_tokens,
        seed=config.seed,
        batch_size=config.train.batch_size,
        features=data.features,
    )
    return _Strided(batches, communicator)


class _Strided:
    """A lazy share of batches that can be gone through again and again."""

    def __init__(self, batches: HeldOutBatches, communicator: Communicator) -> None:
        self._batches = batches
        self._numbers = range(communicator.rank, len(batches), communicator.world_size)

    def __iter__(self) -> Iterator[Batch]:
        return (self._batches[number] for number in self._numbers)
