"""`simcrop eval finetune`: encoder and head trained together on labelled volumes, or both from scratch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
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
    fine_tuned,
    finished_fit,
    save_classifier,
)
from simcrop.adapters.loading.batches import volume_centres
from simcrop.adapters.system.progress import counted
from simcrop.adapters.system.provenance import git_commit, versions
from simcrop.compose.evaluation.common import say_stopped
from simcrop.compose.evaluation.fit import best_score, fit_settings, label_fit, learning_studies
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
from simcrop.core.evaluation.fitting import ClassifierFit, classifier_optimizers
from simcrop.core.randomness import derive_seed
from simcrop.core.training.learner import numerics
from simcrop.core.training.stopping import Stopped

_LAYER_DECAY = 0.75
_EVALUATE_EVERY = 20


def finetune(
    config: RunConfig, *, checkpoint: str | None, out: Path, should_stop: Callable[[], bool] = lambda: False
) -> bool:
    """Train encoder and head, and measure them on the held-out studies.

    Args:
        config: data and labels; the section `finetune`.
        checkpoint: of the encoder, or a folder that an earlier call has written; None trains from scratch.
        out: folder of the result; the classifier is kept in it.
        should_stop: asked after every step and batch.

    Returns:
        False where it was asked to stop; the same call goes on from there.

    Raises:
        SimcropError: wrong checkpoint, data or labels, or a loss that is not finite.
    """
    refuse_published(config, "fine-tuning")
    settings = config.finetune
    before = None if checkpoint is None or settings.new_head else fine_tuned(Path(checkpoint))
    try:
        if settings.steps:
            _train_and_measure(config, checkpoint, before, out, should_stop)
        elif before is not None:
            _measure_again(config, before, str(checkpoint), out, should_stop)
        else:
            raise ConfigError(
                f"finetune.steps: 0 measures a fine-tuned checkpoint, and {checkpoint or 'no --checkpoint'} is none; "
                "write 1 or more"
            )
    except Stopped:
        return say_stopped(out)
    return True


def _measure_again(
    config: RunConfig, before: FineTuned, checkpoint: str, out: Path, should_stop: Callable[[], bool]
) -> None:
    task = begin_task(config, checkpoint, draws=False)
    classifier = new_classifier(task, frozen=True)
    _continue(classifier, before, task)
    task.require_measurable(before.learned_from)
    logits = predict(task, classifier, task.test, should_stop, progress="test studies")
    _conclude(task, logits, before, {"step": before.checkpoint.step}, out)


def _train_and_measure(
    config: RunConfig, checkpoint: str | None, before: FineTuned | None, out: Path, should_stop: Callable[[], bool]
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
    task: LabelledTask, classifier: Classifier, settings: Mapping[str, Any], out: Path, should_stop: Callable[[], bool]
) -> FineTuned:
    """Fit, and keep the best step's classifier."""
    config, select = task.config, task.split.select
    studies = learning_studies(task, augment=config.data.augment, batch_size=config.finetune.batch_size)
    every = config.finetune.evaluate_every or max(_EVALUATE_EVERY, studies.steps_per_epoch)
    optimisation = replace(config.finetune, evaluate_every=every)
    optimizers = classifier_optimizers(classifier, optimisation, layer_decay=_layer_decay(task))
    fit = label_fit(
        task,
        studies,
        last_step=optimisation.steps,
        logits=lambda: predict(task, classifier, task.some(select), should_stop),
        truth=task.truth[list(select)],
        out=out,
        settings=settings,
    )
    learner = ClassifierFit(classifier, optimizers, optimisation, config.train, task.columns.exclusive)
    progress = fit.run(learner, should_stop)
    save_classifier(
        out,
        classifier,
        progress.best_step,
        config=as_tree(config),
        settings=settings,
        names=task.columns.names,
        exclusive=task.columns.exclusive,
        learned_from=task.learned_from(task.split.learn),
        metrics=best_score(progress),
        provenance={"versions": versions(), "git_commit": git_commit(), "data_fingerprint": task.data.fingerprint},
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
    should_stop: Callable[[], bool],
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
