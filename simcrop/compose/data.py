"""The studies of a run: found or made, divided by patient, resampled onto the model's grid."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import nn

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.loading.batches import HeldOutBatches, StudyBatches
from simcrop.adapters.loading.costs import describe_costs
from simcrop.adapters.loading.organs import PreparedOrgans
from simcrop.adapters.loading.prepared import PreparedVolumes, read_error
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.problems.verdicts import Verdicts
from simcrop.adapters.sources.registry import build_source
from simcrop.adapters.system.pool import run_all, usable_cores
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import data_fingerprint
from simcrop.adapters.system.ranks import choose_device, choose_workers
from simcrop.adapters.text.findings_cache import keep_findings
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.compose.organs import organs_of
from simcrop.core.data.batch import LONGEST, Padding
from simcrop.core.data.items import ItemReader, ReadingSpec
from simcrop.core.data.problems import REASONS, Problem
from simcrop.core.data.split import Refusals, nothing_held_out
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.ports import Communicator, DataSet, FindingsFeatures, Tokenizer
from simcrop.core.randomness import derive_seed
from simcrop.core.reports.checks import sentences_per_report
from simcrop.core.reports.markup import without_markup
from simcrop.core.reports.reader import ReportReader

_VOCABULARY_STUDIES = 8192
_GPU_TOKENS, _GPU_SENTENCES = 128, 16
_MEASURED = 3
"""Studies behind what each storage costs."""
_FEW_SENTENCES = 2
_log = logging.getLogger("simcrop")


@dataclass(frozen=True, eq=False)
class Data:
    """The studies of a run, and their volumes on the model's grid."""

    source: DataSet
    train: list[Study]
    held_out: list[Study]
    prepared: PreparedVolumes
    features: FindingsFeatures | None = None
    organs: PreparedOrgans | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hash that changes with the studies, their reports, labels or split."""
        return data_fingerprint({"train": self.train, "validation": self.held_out})

    def reports(self) -> list[str]:
        """The texts that a vocabulary may be learned from: of many, an even share, which has the same words."""
        some = self.train[:: -(-len(self.train) // _VOCABULARY_STUDIES)]
        reports = (text for study in some for text in (study.report.findings, study.report.impression))
        texts = [without_markup(text) for text in reports]  # fillers stay: `published` sentences have them
        # Every checkpoint holds a tokenizer, that of a run without reports too.
        return texts if any(text.strip() for text in texts) else ["No report."]


def prepare_data(
    config: RunConfig,
    *,
    shard: tuple[int, int] = (0, 1),
    for_training: bool = True,
    reads_volumes: bool = True,
    compares_storages: bool = False,
) -> Data:
    """Find the studies, leave out what cannot be used, divide them by patient, and resample what is not yet prepared.

    Args:
        config: of the run.
        shard: prepare this part of the volumes alone; see `part_of`.
        for_training: False takes studies without a report too, and does not mind if none is left to train on.
        reads_volumes: False resamples nothing: the studies alone are wanted.
        compares_storages: first prepares a few volumes, and says what each storage would cost.

    Raises:
        DataError: a table, file or folder is absent or wrong, or more of the data than `data.max_bad_share` allows.
    """
    data = config.data
    source = build_source(data)
    if source.exclusion_note:
        _log.info(source.exclusion_note)
    verdicts = Verdicts(data.prepared, source)
    refusals = Refusals(source.studies(), verdicts.errors(), max_bad_share=data.max_bad_share)
    if for_training and config.objectives.reads_reports:
        refusals.add_unreported()
    assert data.prepared_size is not None
    grid = Grid(config.model.spacing_mm, data.prepared_size)
    found: dict[str, Problem] = {}
    usable = part_of(refusals.usable(), shard)
    make = partial(
        prepare,
        source,
        grid=grid,
        cache=data.prepared,
        storage=data.storage,
        workers=usable_cores(),
        refused=found,
    )
    if compares_storages:
        few = usable[:_MEASURED]
        _say_costs(make(few), [study for study in few if found.keys().isdisjoint(study.reconstructions)], usable)
    if reads_volumes:
        with counted(f"volumes prepared in {data.prepared}") as progress:
            prepared = make(usable, progress=progress, say=_log.info)
    else:
        prepared = make(())
    verdicts.add_errors(found)
    refusals.add(found)
    train, held_out = refusals.divided(data.validation_fraction)
    if for_training and not train:
        raise DataError(
            f"data: all {len(held_out)} studies are held out, none is left to train on; lower data.validation_fraction"
        )
    if for_training and not held_out:
        _log.warning(
            "%s; %s", nothing_held_out(train, data.validation_fraction), REASONS["set.nothing_held_out"].remedy
        )
    if left_out := refusals.summary():
        _log.warning(left_out)
    organs = None
    if for_training and config.objectives.organ_shares.weight:
        organs = organs_of(config, source, prepared, part_of([*train, *held_out], shard), is_all=shard[1] == 1)
    return Data(source, train, held_out, prepared, organs=organs)


def _say_costs(prepared: PreparedVolumes, measured: Sequence[Study], studies: Sequence[Study]) -> None:
    if measured:
        count = sum(len(study.reconstructions) for study in studies)
        for line in describe_costs(prepared, [study.reconstructions[0] for study in measured], count):
            _log.info(line)


def tell_sentences(studies: Sequence[Study]) -> None:
    """Say how many sentences a report has on average, and warn where that is next to none."""
    average = sentences_per_report(studies)
    if average is None:
        return
    if average < _FEW_SENTENCES:
        _log.warning(
            "reports: %.1f sentences each on average; matching needs several that differ; end each finding with a "
            "stop, or put each on a line of its own (simcrop data check names the reports)",
            average,
        )
    else:
        _log.info("reports: %.1f sentences each on average", average)


def with_features(
    config: RunConfig,
    data: Data,
    studies: Sequence[Study],
    tokenizer: HFTokenizer,
    text_encoder: nn.Module,
    ranks: Communicator,
    *,
    part: tuple[int, int] = (0, 1),
) -> Data:
    """The data with what a frozen text encoder makes of the findings; `part` of them is this rank's to make.

    Raises:
        DataError: it cannot be written.
    """
    features = keep_findings(
        studies,
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        recipe=config.text_encoder,
        cache=config.data.prepared,
        communicator=ranks,
        part=part,
    )
    return replace(data, features=features)


def part_of(studies: Sequence[Study], shard: tuple[int, int]) -> list[Study]:
    """The i-th of n parts, by a hash of each study: it does not change when others turn out bad."""
    number, count = shard
    if count == 1:
        return list(studies)
    return [study for study in studies if derive_seed("shard", study.study_id) % count == number]


def verify_prepared(data: Data, *, shard: tuple[int, int] = (0, 1)) -> None:
    """Read every prepared volume, and compare checksums.

    Raises:
        DataError: some are damaged; names the first and how many.
    """
    studies = part_of([*data.train, *data.held_out], shard)
    names = [name for study in studies for name in study.reconstructions]
    errors: list[str] = []
    with counted("prepared volumes verified") as progress:
        for done, (_, error) in enumerate(run_all(read_error, data.prepared, names, usable_cores()), 1):
            progress(done, len(names))
            if error is not None:
                errors.append(error)
    if errors:
        more = f" (and {len(errors) - 1} more volumes)" if len(errors) > 1 else ""
        raise DataError(f"{min(errors)}{more}")


def num_workers(config: RunConfig) -> int:
    """Data workers of this process."""
    return choose_workers(config.data.num_workers, choose_device(config.train.device))


def training_batches(
    config: RunConfig,
    data: Data,
    tokenizer: Tokenizer,
    communicator: Communicator,
    device: torch.device,
    *,
    epoch_multiple: int | None = None,
) -> StudyBatches:
    """The training batches of this rank.

    Args:
        config: how studies are read and divided.
        data: their volumes.
        tokenizer: of the text encoder.
        communicator: the ranks.
        device: where the batches go.
        epoch_multiple: see `StudyBatches`.

    Raises:
        ConfigError: there are fewer studies than one batch needs.
    """
    return StudyBatches(
        data.train,
        _reader(config, data, tokenizer),
        config.train,
        rank=communicator.rank,
        world_size=communicator.world_size,
        num_workers=num_workers(config),
        pin_memory=device.type == "cuda",
        epoch_multiple=epoch_multiple,
    )


def validation_batches(
    config: RunConfig, data: Data, tokenizer: Tokenizer, studies: Sequence[Study], communicator: Communicator
) -> HeldOutBatches:
    """This rank's share of the batches for held-out losses.

    Args:
        config: how many studies, and how they are read.
        data: their volumes.
        tokenizer: of the text encoder.
        studies: the held-out ones; the first `evaluation.loss_studies` are taken.
        communicator: the ranks.
    """
    return HeldOutBatches(
        studies[: config.evaluation.loss_studies],
        _reader(config, data, tokenizer),
        config.train.batch_size,
        rank=communicator.rank,
        world_size=communicator.world_size,
    )


def _reader(config: RunConfig, data: Data, tokenizer: Tokenizer) -> ItemReader:
    padding = text_padding(config, choose_device(config.train.device))
    spec = ReadingSpec(config.model, config.objectives, config.data.augment, config.seed, padding)
    reports = ReportReader.of(tokenizer, config.text_encoder)
    return ItemReader(data.prepared, reports, spec, data.features, data.organs)


def text_padding(config: RunConfig, device: torch.device) -> Padding:
    """Lengths that texts are padded to: on a GPU few that come again, on a CPU none beyond the longest text."""
    if device.type != "cuda":
        return LONGEST
    # Where padding counts as a negative, more of it would be another loss.
    sentences = 1 if config.objectives.alignment.padding_negatives else _GPU_SENTENCES
    return Padding(tokens=_GPU_TOKENS, sentences=sentences, max_tokens=config.text_encoder.max_tokens)
