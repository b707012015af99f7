"""`simcrop eval finetune`: encoder and head trained together on labelled volumes, or both from scratch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.checkpoints.resume import remove_training
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.evaluation.classification.files import (
    FineTuned,
    HeadLabels,
    fine_tuned,
    finished_fit,
    save_classifier,
)
from simcrop.adapters.loading.batches import volume_centres
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import git_commit, versions
from simcrop.compose.data import num_workers
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.fit import best_score, fit_classifier, fit_settings
from simcrop.compose.evaluation.labelled_task import (
    BLIND_SELECTION,
    LabelledTask,
    begin_task,
    conclude,
    refuse_published,
    with_notes,
)
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.classifier import Classifier, probabilities
from simcrop.core.evaluation.thresholds import youden_thresholds
from simcrop.core.randomness import derive_seed
from simcrop.core.training.learner import arrange_blocks, numerics
from simcrop.core.training.stopping import Stopped

_LAYER_DECAY = 0.75
_EVALUATE_EVERY = 20


@command
def finetune(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Train encoder and head, as the section `finetune` says, and measure them on the held-out studies.

    The checkpoint may be a folder that an earlier call has written; the classifier is kept in `out`.
    """
    refuse_published(config, "fine-tuning")
    settings = config.finetune
    before = None if checkpoint is None or settings.new_head else fine_tuned(Path(checkpoint))
    if not settings.steps and before is None:
        raise ConfigError(
            f"finetune.steps: 0 measures a fine-tuned checkpoint, and {checkpoint or 'no --checkpoint'} is none; "
            "write 1 or more"
        )
    task = begin_task(config, checkpoint, draws=settings.steps > 0)
    if checkpoint is None:
        task = with_notes(task, "no --checkpoint: the encoder was trained from scratch on these labels alone")
    classifier = new_classifier(task, frozen=settings.steps == 0)
    if before is not None:
        before.require(task.columns.names, exclusive=task.columns.exclusive)
        before.load_into(classifier)
    made = before if before is not None and not settings.steps else _trained(task, classifier, out, should_stop)
    task.require_measurable(made.learned_from)
    logits = predict(task, classifier, task.test, should_stop, bar="test studies")
    chosen: dict[str, Any] = {"step": made.checkpoint.step}
    if settings.steps:
        chosen |= made.checkpoint.manifest["metrics"]
        task = with_notes(task, BLIND_SELECTION) if math.isnan(chosen["auroc"]) else task
    scores = probabilities(logits, exclusive=task.columns.exclusive)
    thresholds, learned_from = made.thresholds, made.learned_from
    conclude("finetune", task, scores, learned_from=learned_from, chosen=chosen, out=out, thresholds=thresholds)


def _trained(task: LabelledTask, classifier: Classifier, out: Path, should_stop: Stop) -> FineTuned:
    """The classifier of the best step, trained now or by an earlier call."""
    task.require_measurable(task.learned_from(task.split.learn))
    section = {key: value for key, value in asdict(task.config.finetune).items() if key != "checkpoint_every"}
    settings = fit_settings(task, {"finetune": section})
    if finished_fit(out, settings) is not None:
        print(f"{out}: trained by an earlier call of the same configuration; measuring that")
    else:
        _train(task, classifier, settings, out, should_stop)
    made = finished_fit(out, settings)
    assert made is not None
    made.load_into(classifier)
    remove_training(out)  # after an earlier call too: a kill may have come before it was
    return made


def _train(
    task: LabelledTask, classifier: Classifier, settings: Mapping[str, Any], out: Path, should_stop: Stop
) -> None:
    """Fit, and keep the best step's classifier."""
    config, select, given = task.config, task.split.select, task.config.finetune.layer_decay
    default = 1.0 if task.checkpoint["path"] is None else _LAYER_DECAY
    progress = fit_classifier(
        task,
        classifier,
        config.finetune,
        augment=config.data.augment,
        layer_decay=default if given is None else given,
        score=lambda: predict(task, classifier, task.some(select), should_stop),
        truth=task.truth[list(select)],
        out=out,
        settings=settings,
        should_stop=should_stop,
        least_between=_EVALUATE_EVERY,
    )
    labels = HeadLabels(
        task.columns.names,
        task.columns.exclusive,
        task.learned_from(task.split.learn),
        _thresholds(task, classifier, should_stop),
    )
    about = {"versions": versions(), "git_commit": git_commit(), "data_fingerprint": task.data.fingerprint}
    save_classifier(
        out,
        classifier,
        progress.best_step,
        labels,
        config=as_tree(config),
        metrics=best_score(progress),
        provenance={**about, "settings": settings},
    )


def _thresholds(task: LabelledTask, classifier: Classifier, should_stop: Stop) -> tuple[float, ...]:
    """By the selection patients; none for exclusive classes, of which the likeliest is taken."""
    select = task.split.select
    if task.columns.exclusive or not select:
        return ()
    logits = predict(task, classifier, task.some(select), should_stop)
    said = probabilities(logits, exclusive=False)
    return tuple(youden_thresholds(said, task.truth[list(select)]))


def new_classifier(task: LabelledTask, *, frozen: bool) -> Classifier:
    """A new head on the task's encoder, its weights drawn from the seed of the configuration."""
    torch.manual_seed(derive_seed("head", task.config.seed))
    arrange_blocks(task.encoder, task.device, task.config.train)
    return Classifier(task.encoder, len(task.columns.names), frozen=frozen).to(task.device).eval()


@torch.no_grad()
def predict(
    task: LabelledTask, classifier: Classifier, studies: Sequence[Study], should_stop: Stop, *, bar: str | None = None
) -> Float[Tensor, "n C"]:
    """Logits of the centres of the studies' first reconstructions, on the CPU.

    Args:
        task: whose volumes these are.
        classifier: on the device that computes.
        studies: to predict.
        should_stop: asked after every batch.
        bar: what it says of the progress; None shows none.

    Raises:
        DataError: a volume is damaged.
        Stopped: `should_stop` said so.
    """
    config = task.config
    centres = volume_centres(
        task.data.prepared,
        [study.reconstructions[0] for study in studies],
        task.encoder.volume_size,
        batch_size=config.evaluation.batch_size,
        num_workers=num_workers(config),
    )
    logits: list[Tensor] = []
    done = 0
    with counted(bar or "") as tell:
        for volumes in centres:
            with numerics(task.device, config.train):
                logits.append(classifier(volumes.to(task.device)).cpu())
            done += len(volumes)
            if bar is not None:
                tell(done, len(studies))
            if should_stop():
                raise Stopped
    return torch.cat(logits)
