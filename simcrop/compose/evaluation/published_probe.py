"""The authors' linear probe, with its faults, for comparison with their figures (docs/method.md, section 9)."""

from dataclasses import replace
from pathlib import Path

import torch

from simcrop.adapters.checkpoints.resume import remove_training
from simcrop.adapters.config.run import RunConfig
from simcrop.compose.evaluation.common import Stop
from simcrop.compose.evaluation.finetune import new_classifier
from simcrop.compose.evaluation.fit import best_score, fit_classifier, fit_settings
from simcrop.compose.evaluation.labelled_task import (
    UNTRAINED,
    LabelledTask,
    begin_task,
    conclude,
    with_notes,
)
from simcrop.compose.evaluation.task_features import token_features
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.classifier import probabilities
from simcrop.core.evaluation.published import NUMBERS, UNSCORED_EPOCHS, PublishedProbe, counting_note, published_recipe
from simcrop.core.recipe import PAPER, AugmentRecipe, Optimisation

_COPIED = ("Pleural effusion", "Pericardial effusion")


def published_probe(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Train a linear layer as the authors do, and measure it on the held-out studies; arguments as for a `Command`."""
    if config.probe.features not in ("auto", "encoder"):
        raise ConfigError("probe.features: the published protocol trains on an encoder alone; write encoder, or honest")
    task = _with_faults(begin_task(config, checkpoint, as_published=True))
    if checkpoint is None:
        task = with_notes(task, UNTRAINED)
    learned_from = task.learned_from(task.split.learn)
    task.require_measurable(learned_from)
    numbers, note = _numbers(config, task.data.source.published)
    shown = {key: getattr(numbers, key) for key in NUMBERS}
    if note:
        task = with_notes(task, note)
    classifier = new_classifier(task, frozen=True)
    own = task.split.select
    selected, truth = (task.some(own), task.truth[list(own)]) if own else (task.test, task.test_truth)
    table = token_features(task, [*selected, *task.test], should_stop)["encoder"].to(task.device)

    @torch.no_grad()
    def logits_of(rows: torch.Tensor) -> torch.Tensor:
        return classifier.classify(rows)

    progress = fit_classifier(
        task,
        classifier,
        numbers,
        augment=AugmentRecipe(**PAPER["data"]["augment"]),
        layer_decay=1.0,
        score=lambda: logits_of(table[: len(selected)]),
        truth=truth,
        out=out,
        settings=fit_settings(task, {"published": shown}),
        should_stop=should_stop,
        unscored_epochs=UNSCORED_EPOCHS,
    )
    chosen = {"step": progress.best_step, **best_score(progress), **shown}
    scores = probabilities(logits_of(table[len(selected) :]), exclusive=task.columns.exclusive)
    conclude("probe", task, scores, learned_from=learned_from, chosen=chosen, out=out)
    remove_training(out)


def _with_faults(task: LabelledTask) -> LabelledTask:
    """The task with the faults of the authors' lists, and with words for each."""
    task = with_notes(
        task,
        "published protocol: the authors' learning rate would rise again after the last step; training ends there",
        "published protocol: one score of the selection list an epoch, from the eleventh on",
        "published protocol: the encoder is deterministic and volumes have no noise, while the authors train the layer "
        "with drop path up to 0.1 and noise of 0.1 of the windowed range on a fifth of the volumes",
    )
    if counted := counting_note(task.data.source.published, task.studies, task.test):
        task = with_notes(task, f"published protocol: {counted}")
    if not task.data.source.published.selects_apart:
        return with_notes(
            task,
            "published protocol: the best step was chosen on the test set, as the authors' validation list is their "
            "test list, so the figures are too good; the honest protocol chooses on patients of its own",
        )
    names = task.columns.names
    if not set(_COPIED) <= set(names):
        return task
    source, copy = (names.index(name) for name in _COPIED)
    for truth in (task.truth, task.test_truth):
        truth[:, copy] = truth[:, source]
    return with_notes(
        task,
        f"published protocol: the column {_COPIED[1]} is a copy of {_COPIED[0]}, as in the authors' lists; its figures "
        "say nothing of that finding, and the means count the other one twice",
    )


def _numbers(config: RunConfig, published: PublishedProbe) -> tuple[Optimisation, str | None]:
    """The authors' numbers with what the section `probe` says instead, and a note where they have none."""
    row, note = published_recipe(published, config.data.source, config.labels.percent)
    own = {key: value for key in NUMBERS if (value := getattr(config.probe, key)) is not None}
    if "steps" in own and "warmup_steps" not in own:
        own["warmup_steps"] = round(row.warmup * own["steps"] / row.steps)
    try:
        return replace(row, **own), note
    except ConfigError as error:
        raise ConfigError(f"probe.{error}; write fewer") from error
