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
from simcrop.adapters.evaluation.classification.files import FineTuned, Told, fine_tuned, finished_fit, save_classifier
from simcrop.adapters.loading.labelled import volume_centres
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import git_commit, versions
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
from simcrop.core.randomness import derive_seed
from simcrop.core.training.learner import numerics
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
    if settings.steps:
        _train_and_measure(config, checkpoint, before, out, should_stop)
    elif before is not None:
        _measure_again(config, before, str(checkpoint), out, should_stop)
    else:
        raise ConfigError(
            f"finetune.steps: 0 measures a fine-tuned checkpoint, and {checkpoint or 'no --checkpoint'} is none; "
            "write 1 or more"
        )


def _measure_again(config: RunConfig, before: FineTuned, checkpoint: str, out: Path, should_stop: Stop) -> None:
    task = begin_task(config, checkpoint, draws=False)
    classifier = new_classifier(task, frozen=True)
    _continue(classifier, before, task)
    task.require_measurable(before.learned_from)
    logits = predict(task, classifier, task.test, should_stop, progress="test studies")
    _conclude(task, logits, before, {"step": before.checkpoint.step}, out)


def _train_and_measure(
    config: RunConfig, checkpoint: str | None, before: FineTuned | None, out: Path, should_stop: Stop
) -> None:
    task = begin_task(config, checkpoint)
    if checkpoint is None:
        task = with_notes(task, "no --checkpoint: the encoder was trained from scratch on these labels alone")
    task.require_measurable(task.learned_from(task.split.learn))
    classifier = new_classifier(task, frozen=False)
    if before is not None:
        _continue(classifier, before, task)
    settings = fit_settings(
        task, {"finetune": {k: v for k, v in asdict(config.finetune).items() if k != "checkpoint_every"}}
    )
    made = finished_fit(out, settings)
    if made is not None:
        print(f"{out}: trained by an earlier call of the same configuration; measuring that")
        made.load_into(classifier)
        remove_training(out)  # a kill may have come before it was
    else:
        made = _train(task, classifier, settings, out, should_stop)
    logits = predict(task, classifier, task.test, should_stop, progress="test studies")
    chosen = made.checkpoint.manifest["metrics"]
    if math.isnan(chosen["auroc"]):
        task = with_notes(task, BLIND_SELECTION)
    _conclude(task, logits, made, {"step": made.checkpoint.step, **chosen}, out)


def _train(
    task: LabelledTask, classifier: Classifier, settings: Mapping[str, Any], out: Path, should_stop: Stop
) -> FineTuned:
    """Fit, and keep the best step's classifier."""
    config, select = task.config, task.split.select
    progress = fit_classifier(
        task,
        classifier,
        config.finetune,
        augment=config.data.augment,
        layer_decay=_layer_decay(task),
        score=lambda: predict(task, classifier, task.some(select), should_stop),
        truth=task.truth[list(select)],
        out=out,
        settings=settings,
        should_stop=should_stop,
        least_between=_EVALUATE_EVERY,
    )
    told = Told(task.columns.names, task.columns.exclusive, task.learned_from(task.split.learn))
    about = {"versions": versions(), "git_commit": git_commit(), "data_fingerprint": task.data.fingerprint}
    save_classifier(
        out,
        classifier,
        progress.best_step,
        told,
        config=as_tree(config),
        metrics=best_score(progress),
        provenance={**about, "settings": settings},
    )
    remove_training(out)
    made = finished_fit(out, settings)
    assert made is not None
    return made


def _layer_decay(task: LabelledTask) -> float:
    given = task.config.finetune.layer_decay
    if given is not None:
        return given
    return 1.0 if task.checkpoint["path"] is None else _LAYER_DECAY


def _continue(classifier: Classifier, before: FineTuned, task: LabelledTask) -> None:
    before.require(task.columns.names, exclusive=task.columns.exclusive)
    before.load_into(classifier)


def _conclude(task: LabelledTask, logits: Tensor, made: FineTuned, chosen: dict[str, Any], out: Path) -> None:
    scores = probabilities(logits, exclusive=task.columns.exclusive)
    conclude("finetune", task, scores, learned_from=made.learned_from, chosen=chosen, out=out)


def new_classifier(task: LabelledTask, *, frozen: bool) -> Classifier:
    """A new head on the task's encoder, its weights drawn from the seed of the configuration."""
    torch.manual_seed(derive_seed("head", task.config.seed))
    task.encoder.recompute = task.config.train.activation_checkpointing
    return Classifier(task.encoder, len(task.columns.names), frozen=frozen).to(task.device).eval()


@torch.no_grad()
def predict(
    task: LabelledTask,
    classifier: Classifier,
    studies: Sequence[Study],
    should_stop: Stop,
    *,
    progress: str | None = None,
) -> Float[Tensor, "n C"]:
    """Logits of the centres of the studies' first reconstructions, on the CPU.

    Args:
        task: whose volumes these are.
        classifier: on the device that computes.
        studies: to predict.
        should_stop: asked after every batch.
        progress: what the bar says; None shows none.

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
        num_workers=config.data.num_workers,
    )
    logits: list[Tensor] = []
    done = 0
    with counted(progress or "") as tell:
        for volumes in centres:
            with numerics(task.device, config.train):
                logits.append(classifier(volumes.to(task.device)).cpu())
            done += len(volumes)
            if progress is not None:
                tell(done, len(studies))
            if should_stop():
                raise Stopped
    return torch.cat(logits)
