"""A training run, put together from its configuration."""

import copy
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from simcrop.adapters.checkpoints.after import AfterCheckpoint
from simcrop.adapters.checkpoints.background import BackgroundCheckpoints
from simcrop.adapters.checkpoints.common_start import common_start
from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.models import (
    load_weights,
    provided_elsewhere,
    provided_weights,
    require_fitting,
    tokenizer_files,
)
from simcrop.adapters.checkpoints.resume import as_begun, check_data, is_finished, starting_point
from simcrop.adapters.checkpoints.same_batches import batches_of, changed_comparisons, epoch_multiple_of
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, as_yaml
from simcrop.adapters.evaluation.run.kept_references import keep_references
from simcrop.adapters.evaluation.run.pictures import RunPictures
from simcrop.adapters.evaluation.run.summary import write_summary
from simcrop.adapters.loading.buffers import ahead
from simcrop.adapters.loading.workers import dead_workers_told
from simcrop.adapters.system.files import make_folder, remove_drafts, replace_text
from simcrop.adapters.system.locks import owned
from simcrop.adapters.system.provenance import git_commit, versions
from simcrop.adapters.system.ranks import average_gradients, choose_device, connected, is_first_rank, node_name
from simcrop.adapters.text.encoder import load_text_encoder
from simcrop.adapters.tracking.metrics import FanOut, JsonlMetrics
from simcrop.adapters.tracking.terminal import TrainingProgress
from simcrop.compose.data import (
    Data,
    part_of,
    prepare_data,
    training_batches,
    validation_batches,
    with_features,
)
from simcrop.compose.models import begin_model
from simcrop.compose.nodes import compare_configurations, prepare_together
from simcrop.compose.ops import compiles
from simcrop.compose.reporting import report
from simcrop.compose.tracking import Trackers, send_the_rest, tracking
from simcrop.core.data.batch import PreparedBatch
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.errors import SimcropError
from simcrop.core.model.encoder import compile_blocks
from simcrop.core.ports import Communicator, SingleProcess
from simcrop.core.reports.reader import ReportReader
from simcrop.core.training.agreement import agree
from simcrop.core.training.learner import PreTraining, arrange_blocks, counts_of, held_out_losses
from simcrop.core.training.loop import Ports, fit
from simcrop.core.training.optimization import load_optimizer_state, make_optimizers
from simcrop.core.training.progress import Progress

_log = logging.getLogger("simcrop")


def prepare(config: RunConfig, *, shard: tuple[int, int] = (0, 1)) -> Data:
    """Prepare the data of a run ahead of time: volumes resampled, and findings read by a loaded, frozen encoder.

    Args:
        config: of the run.
        shard: (i, n): the i-th of n parts; n processes with the numbers 0 to n - 1 prepare all.

    Raises:
        SimcropError: wrong data or configuration.
    """
    data = prepare_data(config, shard=shard, compares_storages=True)
    text = config.text_encoder
    if text.source == "scratch" or not (text.reads_findings_once and config.objectives.matches_sentences):
        return data
    tokenizer, text_encoder = load_text_encoder(text)
    text_encoder.to(choose_device(config.train.device))
    studies = part_of([*data.train, *data.held_out], shard)
    return with_features(config, data, studies, tokenizer, text_encoder, SingleProcess())


@dataclass(frozen=True)
class TrainResult:
    """State of a run when it returns: `finished` is False after a request to stop."""

    folder: Path
    step: int
    finished: bool


def train(
    config: RunConfig, *, out: Path, resume: str = "auto", should_stop: Callable[[], bool] = lambda: False
) -> TrainResult:
    """Train, or continue, a run; at its end measure it on held-out studies.

    Args:
        config: of the run.
        out: run folder (README lists what appears in it).
        resume: auto, never, or a checkpoint's path; see `starting_point`.
        should_stop: asked after every step; True saves and returns.

    Raises:
        SimcropError: wrong data, configuration or checkpoint, another process in `out`, or a loss that is not finite.
    """
    with owned(out) if is_first_rank() else nullcontext():
        return _train(config, out, resume, should_stop)


def _train(config: RunConfig, out: Path, resume: str, should_stop: Callable[[], bool]) -> TrainResult:
    device = choose_device(config.train.device)
    with connected(device, config.train.timeout_minutes) as communicator:
        compare_configurations(config, communicator)
        with common_start(
            partial(starting_point, out, resume, as_tree(config)), out, communicator, node=node_name()
        ) as start:
            return _go_on(config, out, start, device, communicator, should_stop)


def _go_on(
    config: RunConfig,
    out: Path,
    start: Checkpoint | None,
    device: torch.device,
    communicator: Communicator,
    should_stop: Callable[[], bool],
) -> TrainResult:
    config = config if start is None else as_begun(config, start)
    if start is not None and is_finished(out, start, config.train.steps):
        if communicator.rank == 0:
            send_the_rest(config, out, start.step)
            print(f"{out}: finished at step {start.step}; raise train.steps to train on, or choose another --out")
        return TrainResult(out, start.step, finished=True)
    # Refuses before data are prepared, which takes long.
    multiple = epoch_multiple_of(start, config, communicator.world_size)
    for warning in changed_comparisons(start, config, communicator.world_size):
        if communicator.rank == 0:
            _log.warning(warning)
    with tracking(config, out, is_writer=communicator.rank == 0, is_continued=start is not None) as trackers:
        return _Run(config, out, start, device, communicator, trackers, multiple).train(should_stop)


class _Run:
    """Everything that one call of `train` puts together."""

    def __init__(
        self,
        config: RunConfig,
        out: Path,
        start: Checkpoint | None,
        device: torch.device,
        communicator: Communicator,
        trackers: Trackers,
        epoch_multiple: int,
    ) -> None:
        self.began = time.monotonic()
        self.config, self.out, self.start, self.trackers = config, out, start, trackers
        self.communicator, self.is_writer = communicator, communicator.rank == 0
        self.epoch_multiple = epoch_multiple
        if config.train.threads is not None:
            torch.set_num_threads(config.train.threads)
        make_folder(out)
        for folder in (out, out / "pictures") if self.is_writer else ():
            remove_drafts(folder)
        self.data, self.sharing = prepare_together(config, communicator)
        if start is not None:
            check_data(start, self.data.fingerprint)
            require_fitting(start, config)
        tokenizer_dir = None if start is None else start.tokenizer_folder()
        self.model, self.tokenizer, self.begun_from = begin_model(
            config, reports=self.data.reports, tokenizer_dir=tokenizer_dir
        )
        agree(communicator, {"tokenizer": self.tokenizer.identity}, remedy="give every node the same text encoder")
        self.untrained = copy.deepcopy(self.model.encoder).to(device)
        self.learner = self._learner(device)
        self.data = self._read_findings()
        self.held_out = self._reader(self.data.held_out)

    def train(self, should_stop: Callable[[], bool]) -> TrainResult:
        """Fit, then measure."""
        progress = Progress()
        if self.start is not None:
            state = self.start.training_state()
            load_optimizer_state(self.learner.optimizers, state["optimizer"])
            progress = Progress.of(self.start.step, state)
        if self.is_writer:
            replace_text(self.out / "config.yaml", as_yaml(self.config))
            if self.start is not None:
                print(f"{self.out}: continuing from {self.start.path}")
        ports = self._ports(should_stop)
        self.communicator.meet()  # building a model may take some ranks longer than a step may
        try:
            with dead_workers_told():
                progress = fit(self.learner, ports, progress)
        finally:
            ports.metrics.close()
        finished = progress.is_finished(self.config.train)
        if finished and self.is_writer and not should_stop():
            self._summarise()
            self._report()
            self.trackers.is_finished = True
        self.communicator.meet()
        return TrainResult(self.out, progress.step, finished)

    def _reader(self, studies: Sequence[Study]) -> HeldOutStudies:
        """Reads studies of either side, unmasked."""
        return HeldOutStudies(
            studies,
            volumes=self.data.prepared,
            source=self.data.source,
            reports=ReportReader.of(self.tokenizer, self.config.text_encoder),
            recipe=self.config.model,
        )

    def _summarise(self) -> None:
        """Measure the trained model, and keep what its scores can be compared with."""
        seconds = time.monotonic() - self.began
        settings, training = self.config.evaluation, self._reader(self.data.train)
        studies = training.studies[: self.config.grounding.reference_studies]
        reference = (volumes for _, volumes in training.batches(studies, settings.batch_size))
        arguments = (self.out, self.model, self.untrained, self.held_out, settings)
        write_summary(*arguments, reference=reference, seconds=seconds, train=self.data.train, seed=self.config.seed)
        count, size = settings.reference_scans, settings.batch_size
        keep_references(self.out, self.model, self.held_out, training, count, size)

    def _report(self) -> None:
        """Write the page of the run; where it cannot be, the run is none the worse."""
        try:
            print(f"{report(self.out)}: the run on one page")
        except SimcropError as error:
            _log.warning("no page of the run (%s); simcrop report %s writes it", error, self.out)

    def _read_findings(self) -> Data:
        """Add the features of a frozen text encoder, where the model needs them."""
        model, data = self.model, self.data
        if model.text_encoder is None or not (model.matches_sentences and self.config.text_encoder.reads_findings_once):
            return data
        studies = [*data.train, *data.held_out]
        part, ranks = self.sharing.part(self.communicator.rank), self.communicator
        return with_features(self.config, data, studies, self.tokenizer, model.text_encoder, ranks, part=part)

    def _learner(self, device: torch.device) -> PreTraining:
        recipe, model = self.config.train, self.model
        if self.start is not None:
            load_weights(model, self.config, self.start)
        model.to(device)
        for part in model.image_parts:
            arrange_blocks(part, device, recipe)
            if compiles(recipe.compile, device):
                compile_blocks(part.blocks)
        network = average_gradients(model, self.communicator)
        return PreTraining(model, network, make_optimizers(model, recipe), recipe, self.config.seed, device)

    def _ports(self, should_stop: Callable[[], bool]) -> Ports[PreparedBatch]:
        config, data, ranks, learner = self.config, self.data, self.communicator, self.learner
        held_out = validation_batches(config, data, self.tokenizer, self.held_out.studies, ranks)
        device, multiple = learner.device, self.epoch_multiple
        studies = training_batches(config, data, self.tokenizer, ranks, device, epoch_multiple=multiple)
        pictures = RunPictures(self.out, self.held_out, on_figure=self.trackers.show)
        return Ports(
            # A run begins with the last batches before its first epoch; another start would change every resumed run.
            batches=lambda first_step: ahead(studies.batches(first_step - 1), learner.device),
            score=lambda: held_out_losses(learner, held_out, ranks),
            communicator=ranks,
            checkpoints=self._checkpoints(),
            metrics=self._metrics(),
            should_stop=should_stop,
            clock=time.monotonic,
            counts=counts_of,
            pictures=pictures if self.is_writer else None,
            picture_every=config.train.picture_every,
            puts_best_back=False,
        )

    def _metrics(self) -> FanOut:
        if not self.is_writer:
            return FanOut([])
        rows = JsonlMetrics(self.out / "metrics.jsonl")
        return FanOut([rows, *self.trackers.sinks, TrainingProgress(self.config.train.steps)])

    def _checkpoints(self) -> BackgroundCheckpoints:
        command = self.config.train.after_checkpoint
        after = None if command is None else AfterCheckpoint(command, self.out)
        store = FolderCheckpoints(
            self.out / "checkpoints",
            keep=self.config.train.keep_checkpoints,
            config=as_tree(self.config),
            tokenizer=tokenizer_files(self.model, self.config, self.tokenizer, self.start) if self.is_writer else {},
            provenance={
                "versions": versions(),
                "git_commit": git_commit(),
                "data_fingerprint": self.data.fingerprint,
                "batches": {
                    **batches_of(self.config, self.communicator.world_size),
                    "epoch_multiple": self.epoch_multiple,
                },
                "text_encoder": provided_weights(self.model, self.config),
                "model_init": None if self.begun_from is None else self.begun_from.record(),
            },
            omit=provided_elsewhere(self.config),
            start_step=0 if self.start is None else self.start.step,
            rows=self.out / "metrics.jsonl",
            in_use=frozenset if after is None else after.in_use,
        )
        return BackgroundCheckpoints(store, after)
