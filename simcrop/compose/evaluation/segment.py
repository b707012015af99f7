"""Segmentation: an encoder fine-tuned as part of a UNETR, or a network so made measured again."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from simcrop.adapters.checkpoints.resume import check_same, remove_training
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, config_from_tree
from simcrop.adapters.evaluation.segmentation.crops import CropBatches
from simcrop.adapters.evaluation.segmentation.files import (
    find_segmenter,
    require_segmenter,
    save_segmenter,
    segmenter_config,
    segmenter_weights,
)
from simcrop.adapters.evaluation.segmentation.pictures import chosen_outcomes, outcome_figures
from simcrop.adapters.evaluation.segmentation.report import segmentation_evaluation
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy, Segmenter, segment_study, selection_dice
from simcrop.adapters.evaluation.segmentation.training import SegmenterFit, segmenter_optimizers
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import data_fingerprint
from simcrop.compose.evaluation.common import Stop, command, computing_device, finish, starting_encoder
from simcrop.compose.evaluation.fit import run_fit
from simcrop.compose.evaluation.segment_page import write_segment_page
from simcrop.compose.evaluation.segmentation_task import SegmentationTask, begin_segmentation, drawn
from simcrop.compose.segmenters import load_network, new_network
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.label_split import draw_labelled
from simcrop.core.training.stopping import Stopped

_FREE = ("overlap", "checkpoint_every", "test_studies", "hausdorff")
"""Keys of the section that do not change what is learned."""
_PREDICTIONS = "predictions"
_Known = Mapping[str, Any]


@command
def segment(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Fine-tune an encoder to segment organs, as the section `segment` says, then segment the held-out studies.

    The checkpoint may be the folder of an earlier segmentation, whose network is measured without training. Without one
    the section `model` gives the sizes of a network from scratch.
    """
    device = computing_device(config.train)
    make_folder(out)
    kept = None if checkpoint is None else find_segmenter(Path(checkpoint))
    if kept is not None:
        _measure_again(config, kept, out, device, should_stop)
        return
    encoder, start = starting_encoder(config, checkpoint, device)
    task = begin_segmentation(config, encoder.recipe)
    fit = _Fit(task, new_network(task.config, encoder).to(device), start, out)
    trained = fit.done() or fit.run(should_stop)
    folder = find_segmenter(out)
    assert folder is not None
    _measure(task, fit.network, out, start, _Kept(folder, trained), should_stop)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A network that is to learn a task, in a folder that may hold what was learned before."""

    task: SegmentationTask
    network: UNETR
    start: _Known
    out: Path

    def parts(self) -> tuple[list[Study], list[Study]]:
        """The studies that are learned from, and those that the step is chosen by."""
        train, labels = self.task.data.train, self.task.config.labels
        split = draw_labelled(
            [study.patient_id for study in train],
            percent=labels.percent,
            selection_fraction=labels.selection_fraction,
            seed=self.task.config.seed,
        )
        learn, select = ([train[index] for index in part] for part in (split.learn, split.select))
        return learn, drawn(select, self.task.config.segment.selection_studies)

    def fixed(self) -> dict[str, Any]:
        """Settings that decide how the network comes out, by key."""
        config, tree = self.task.config, as_tree(self.task.config)
        learn, select = self.parts()
        return {
            "--checkpoint": self.start["sha256"],
            "seed": config.seed,
            "labels.percent": config.labels.percent,
            "labels.selection_fraction": config.labels.selection_fraction,
            **{f"model.{key}": value for key, value in tree["model"].items()},
            **{f"segment.{key}": value for key, value in tree["segment"].items() if key not in _FREE},
            "data": data_fingerprint({"learn": learn, "select": select}),
        }

    def done(self) -> _Known | None:
        """What is known of the training, where it is over; the network has its best weights then.

        Raises:
            CheckpointError: the folder holds a damaged network, or one that other settings have made.
        """
        folder = find_segmenter(self.out)
        if folder is None:
            return None
        content = segmenter_config(folder)
        check_same(folder, content["settings"], self.fixed())
        require_segmenter(folder, self.network)
        self.network.load_state_dict(segmenter_weights(folder, content["sha256"]))
        remove_training(self.out)  # a kill may have come before it was
        return content["trained"]

    def run(self, should_stop: Stop) -> _Known:
        """Train to the end; what is known of the training. Raises Stopped after a request to stop."""
        task, config = self.task, self.task.config
        learn, select = self.parts()
        settings = config.segment.in_steps(len(learn))
        crops = CropBatches(task.maps, learn, settings, task.roi_size, seed=config.seed, window=config.model.window)
        visited = [study for step in range(1, settings.steps + 1) for study in crops.studies_of(step)]
        task.prepare([*visited, *select])
        segmenter = Segmenter(self.network, settings.overlap, config.train, settings.foreground)
        score = partial(selection_dice, segmenter, task.maps, select, with_background=settings.background_dice)
        optimizers = segmenter_optimizers(self.network, settings)
        reached = run_fit(
            SegmenterFit(self.network, optimizers, settings, config.train),
            batches=crops.batches,
            score=lambda: {"selection_dice": score()},
            out=self.out,
            settings=self.fixed(),
            should_stop=should_stop,
            timed=False,
        )
        trained = {
            "start": dict(self.start),
            "percent": config.labels.percent,
            "num_learned": len(learn),
            "num_selecting": len(select),
            "steps": reached.step,
            "best_step": reached.best_step,
            **(reached.best or {}),
        }
        about = {"config": as_tree(config), "settings": self.fixed(), "trained": trained}
        save_segmenter(self.out, self.network.state_dict(), about)
        remove_training(self.out)
        return trained


def _measure_again(config: RunConfig, folder: Path, out: Path, device: torch.device, should_stop: Stop) -> None:
    """Measure a network that an earlier segmentation has kept."""
    content = segmenter_config(folder)
    kept = config_from_tree(content["config"], str(folder / "config.json"))
    own = {key: getattr(kept.segment, key) for key in ("spacing_mm", "roi_size", "feature_size", "foreground")}
    task = begin_segmentation(replace(config, segment=replace(config.segment, **own)), kept.model)
    here, there = task.maps.classes, kept.segment.classes
    if here != there:
        raise ConfigError(
            f"segment.classes: {len(here)} classes here ({', '.join(here)}), and {folder} tells {len(there)} apart "
            f"({', '.join(there)}); name those, or fine-tune on this data"
        )
    network = load_network(folder, kept, content["sha256"], device, config.train.ops)
    about = {"path": str(folder), "sha256": content["sha256"]}
    _measure(task, network, out, about, _Kept(folder, content["trained"]), should_stop)


@dataclass(frozen=True)
class _Kept:
    """Where a network lies, and what is known of its training."""

    folder: Path
    trained: _Known


def _measure(
    task: SegmentationTask, network: UNETR, out: Path, checkpoint: _Known, kept: _Kept, should_stop: Stop
) -> None:
    """Segment the held-out studies, and write and print the result. Raises Stopped after a request to stop."""
    config, settings, trained = task.config, task.config.segment, kept.trained
    studies = drawn(task.data.held_out, settings.test_studies)
    task.prepare(studies)
    segmenter = Segmenter(network, settings.overlap, config.train, settings.foreground)
    (out / "metrics.json").unlink(missing_ok=True)
    shutil.rmtree(out / _PREDICTIONS, ignore_errors=True)
    found = _segmented(task, segmenter, studies, out / _PREDICTIONS, should_stop)
    outcomes = chosen_outcomes(found, segmenter, task.maps)
    figures = outcome_figures(outcomes, task.maps, len(found))
    write_segment_page(out, task, outcomes, figures, folder=kept.folder, trained=trained)
    origin = "from scratch" if trained["start"]["path"] is None else "pre-trained"
    result = segmentation_evaluation(
        found,
        task.maps.classes,
        intervals=config.evaluation,
        seed=config.seed,
        with_background=settings.background_dice,
        about=trained,
        title=f"Segmentation, {origin}, {trained['percent']:g} % of labels ({trained['num_learned']} studies)",
        out=out,
        figures=figures,
        warnings=task.warnings,
    )
    finish(out, result, config, task.data, checkpoint)


def _segmented(
    task: SegmentationTask, segmenter: Segmenter, studies: Sequence[Study], folder: Path, should_stop: Stop
) -> list[SegmentedStudy]:
    found: list[SegmentedStudy] = []
    hausdorff = task.config.segment.hausdorff
    with counted("held-out studies segmented") as progress:
        for study in studies:
            if should_stop():
                raise Stopped
            found.append(segment_study(segmenter, task.maps, study, folder, hausdorff=hausdorff))
            progress(len(found), len(studies))
    return found
