"""One fit of a classifier: from where it was interrupted, to the weights that told the selection patients best."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.checkpoints.resume import leaves
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.evaluation.classification.files import training_store, unfinished_fit
from simcrop.adapters.loading.labelled import AugmentedStudies
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.tracking.metrics import FanOut, JsonlMetrics
from simcrop.adapters.tracking.terminal import FittingProgress
from simcrop.compose.evaluation.labelled_task import LabelledTask
from simcrop.core.data.augment import Augmenter
from simcrop.core.evaluation.fitting import FitOutside, FitProgress, FitTask, fit_classifier
from simcrop.core.recipe import AugmentRecipe
from simcrop.core.training.stopping import Stopped

_FREE = {"data": ("num_workers", "prepared"), "labels": ("bootstrap", "confidence")}
"""Keys by section that decide nothing about what is learned."""


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit needs of the outside.

    Attributes:
        task: what is fitted.
        studies: to learn from.
        selection: logits of the selection patients' studies.
        out: folder of the evaluation; training.jsonl appears in it, and while the fit runs the folder training.
        settings: of the fit, by key; the state of another one is refused.
        omit: prefixes of weights that never change, and are not stored.
    """

    task: FitTask
    studies: AugmentedStudies
    selection: Callable[[], Float[Tensor, "n C"]]
    out: Path
    settings: Mapping[str, Any]
    omit: tuple[str, ...] = ()

    def run(self, should_stop: Callable[[], bool]) -> FitProgress:
        """Fit, or go on; the best weights are in the classifier when this returns.

        Raises:
            NonFiniteError: a loss or the gradient is NaN or infinite.
            Stopped: `should_stop` said so; the state is saved.
        """
        make_folder(self.out)
        start = unfinished_fit(self.out, self.settings)
        progress, moments = FitProgress(), None
        if start is not None:
            self.task.classifier.load_state_dict(start.weights(), strict=False)
            state = start.training_state()
            progress, moments = FitProgress.of(start.step, state), state["optimizer"]
            print(f"{self.out}: continuing the training from step {start.step}")
        steps = self.task.recipe.steps
        outside = FitOutside(
            batches=partial(self.studies.batches, last_step=steps),
            selection=self.selection,
            checkpoints=training_store(self.out, self.settings, omit=self.omit, start_step=progress.step),
            metrics=FanOut([JsonlMetrics(self.out / "training.jsonl"), FittingProgress(steps)]),
            clock=time.monotonic,
            should_stop=should_stop,
        )
        try:
            progress = fit_classifier(self.task, outside, progress, moments)
        finally:
            outside.metrics.close()
        if not progress.is_over(self.task):
            raise Stopped
        return progress


def fit_settings(task: LabelledTask, section: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides what a fit learns, by key: encoder, data, labels, and the settings of the fit.

    Args:
        task: what is done.
        section: name -> settings of the fit.
    """
    tree = as_tree(task.config)
    parts = {
        "--checkpoint": task.checkpoint["sha256"],
        "encoder": task.checkpoint["encoder_sha256"],
        "seed": tree["seed"],
        "model": tree["model"],
        **section,
        **{name: {k: v for k, v in tree[name].items() if k not in free} for name, free in _FREE.items()},
        "labels.columns": task.columns.names,
        "labels.exclusive": task.columns.exclusive,
        "studies": task.data.fingerprint,
    }
    return dict(leaves(parts))


def learning_studies(task: LabelledTask, *, augment: AugmentRecipe, batch_size: int) -> AugmentedStudies:
    """The studies that a task learns from, as training batches."""
    config, learn = task.config, task.split.learn
    return AugmentedStudies(
        task.some(learn),
        task.truth[list(learn)],
        task.data.prepared,
        Augmenter(augment, task.encoder.recipe, config.seed),
        batch_size=batch_size,
        num_workers=config.data.num_workers,
    )
