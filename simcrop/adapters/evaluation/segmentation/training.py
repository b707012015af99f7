"""Fine-tuning of a segmentation network (docs/method.md, section 9): one GPU or CPU, stopped and resumed anywhere."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW

from simcrop.adapters.evaluation.segmentation.crops import CropBatches
from simcrop.adapters.evaluation.segmentation.files import load_state, save_state
from simcrop.adapters.evaluation.segmentation.monai_parts import DiceCELoss
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.system.progress import Bar, duration
from simcrop.adapters.tracking.metrics import JsonlMetrics
from simcrop.core.errors import NonFiniteError
from simcrop.core.evaluation.settings import SegmentSettings
from simcrop.core.ports import State
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics
from simcrop.core.training.optimization import load_optimizer_state, lr_at, optimizer_state


@dataclass
class FineTuning:
    """What has been reached.

    Attributes:
        step: updates made.
        scores: (step, mean Dice on the selection patients) of every measurement.
        best: weights of the step with the highest one, the first of equals; empty before any.
    """

    step: int = 0
    scores: list[tuple[int, float]] = field(default_factory=list[tuple[int, float]])
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    @property
    def best_step(self) -> int:
        """The step that `best` is from."""
        return max(self.scores, key=lambda entry: (_comparable(entry[1]), -entry[0]))[0]

    def is_over(self, settings: SegmentSettings) -> bool:
        """Whether all steps are made, or the last `patience` measurements were no better than one before."""
        since = sum(step > self.best_step for step, _ in self.scores) if self.scores else 0
        return self.step >= settings.steps or since >= settings.patience

    def add_score(self, score: float, network: UNETR) -> None:
        """Note a measurement of this step, and keep the weights if it is the best."""
        self.scores.append((self.step, score))
        if self.best_step == self.step:
            self.best = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}


class FineTuner:
    """Trains a network.

    Args:
        network: on the device that shall compute.
        crops: what it learns from.
        measure: mean Dice of the network on the selection patients.
        settings: the `segment` section.
        train: the `train` section, for precision and attention.
        out: folder of the evaluation: training.jsonl, and the state while it is not finished.
        fixed: settings that a continuation must have in common.
    """

    def __init__(
        self,
        network: UNETR,
        crops: CropBatches,
        measure: Callable[[], float],
        *,
        settings: SegmentSettings,
        train: TrainRecipe,
        out: Path,
        fixed: Mapping[str, object],
    ) -> None:
        self._network, self._crops, self._measure = network, crops, measure
        self._settings, self._out, self._fixed = settings, out, fixed
        self._recipe = replace(
            train, steps=settings.steps, lr=settings.lr, min_lr=0.0, warmup_steps=settings.warmup_steps
        )
        self._device = next(network.parameters()).device
        self._optimizer = _optimizer(network, settings)
        self._loss = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True)

    def run(self, should_stop: Callable[[], bool]) -> FineTuning | None:
        """Train to the end, from the saved state if there is one.

        Returns:
            What was reached, or None after a request to stop: the state is saved then.

        Raises:
            NonFiniteError: a loss or gradient is NaN or infinite; names the studies.
            CheckpointError: the saved state is damaged or of other settings, or the disk is full.
        """
        reached = self._restore()
        rows = JsonlMetrics(self._out / "training.jsonl")
        rows.rewind(reached.step)
        try:
            with Bar("fine-tuning", self._settings.steps) as bar:
                for row in self._steps(reached, bar):
                    rows.write(row)
                    stop = should_stop()
                    if stop or reached.step % self._settings.save_every == 0:
                        save_state(self._out, self._state(reached), self._fixed)
                    if stop:
                        return None
        finally:
            rows.close()
        return reached

    def _steps(self, reached: FineTuning, bar: Bar) -> Iterator[dict[str, float]]:
        """One row a step."""
        began, first, settings = time.monotonic(), reached.step, self._settings
        while not reached.is_over(settings):
            row = self._update(reached.step + 1)
            reached.step += 1
            if reached.step % settings.evaluate_every == 0 or reached.step == settings.steps:
                row["selection_dice"] = self._measure()
                reached.add_score(row["selection_dice"], self._network)
                bar.note(f"step {reached.step}/{settings.steps}  Dice on selection {row['selection_dice']:.3f}")
            left = (time.monotonic() - began) / (reached.step - first) * (settings.steps - reached.step)
            bar.update(reached.step, f"loss {row['loss']:.3f}  at most {duration(left)} left")
            yield row

    def _update(self, step: int) -> dict[str, float]:
        volume, classes = (tensor.to(self._device) for tensor in self._crops.at(step))
        lr = lr_at(step, self._recipe)
        for group in self._optimizer.param_groups:
            group["lr"] = lr * group["peak_lr"] / self._settings.lr
        self._network.train()
        with numerics(self._device, self._recipe):
            scores = self._network(volume)
        loss = self._loss(scores.float(), classes)
        self._network.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self._network.parameters(), self._settings.grad_clip)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            names = ", ".join(study.study_id for study in self._crops.studies_of(step))
            found = f"loss {loss.item()}, gradient {norm.item()}"
            raise NonFiniteError(f"step {step}: {found} on {names}; lower segment.lr")
        self._optimizer.step()
        return {"step": step, "loss": loss.item(), "lr": lr, "grad_norm": norm.item()}

    def _state(self, reached: FineTuning) -> State:
        return {
            "step": reached.step,
            "scores": [[step, None if math.isnan(score) else score] for step, score in reached.scores],
            "best": reached.best,
            "weights": dict(self._network.state_dict()),
            "moments": optimizer_state([self._optimizer]),
        }

    def _restore(self) -> FineTuning:
        state = load_state(self._out, self._fixed)
        if state is None:
            return FineTuning()
        self._network.load_state_dict(state["weights"])
        load_optimizer_state([self._optimizer], state["moments"])
        scores = [(int(step), math.nan if score is None else score) for step, score in state["scores"]]
        return FineTuning(state["step"], scores, state["best"])


def _optimizer(network: UNETR, settings: SegmentSettings) -> AdamW:
    """AdamW with a learning rate for the encoder and one for the rest; vectors such as biases do not decay."""
    groups: list[dict[str, Any]] = []
    for is_encoder, peak_lr in ((True, settings.encoder_lr or settings.lr), (False, settings.lr)):
        own = [(name, p) for name, p in network.named_parameters() if name.startswith("encoder.") is is_encoder]
        for is_matrix, decay in ((True, settings.weight_decay), (False, 0.0)):
            named = [(name, p) for name, p in own if (sum(size > 1 for size in p.shape) >= 2) is is_matrix]
            groups.append({"params": named, "weight_decay": decay, "peak_lr": peak_lr})
    return AdamW(groups, lr=settings.lr)


def _comparable(score: float) -> float:
    """A score, or less than any where the selection patients have none of the classes."""
    return -1.0 if math.isnan(score) else score
