"""The updates of the weights: optimizer, rate, batches, and the bookkeeping of pre-training."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from simcrop.core.errors import ConfigError
from simcrop.core.recipe.section import Section, require

_MOST_NAMED = 8


@dataclass(frozen=True)
class Optimisation(Section):
    """How weights are updated, scored and saved, whatever is trained (docs/method.md, section 6)."""

    least_steps: ClassVar[int] = 1

    steps: int = 300
    """Updates of the weights, at most."""
    batch_size: int = 32
    """Studies of one update."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the weights of linear layers, AdamW for all others; learns faster from few studies."""
    lr: float = 1e-3
    """Peak learning rate, absolute: never scaled by batch size or ranks."""
    min_lr: float = 0.0
    """Learning rate at the last step, to which half a cosine leads."""
    warmup_steps: int | None = None
    """Steps of linear rise to the peak; null takes a tenth of all."""
    warmup_from_zero: bool = False
    """True (paper): the first update has rate 0, and each of the others that of the one before."""
    weight_decay: float = 0.05
    """Decay of weight matrices; biases, norms and other vectors are not decayed."""
    decay_tokens: bool = False
    """True (paper): class and mask tokens decay too."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averaging factors."""
    grad_clip: float | None = 1.0
    """Upper limit of the gradient norm; null leaves it alone."""
    evaluate_every: int | None = None
    """Steps between scores on studies that are not learned from; the last step always has one, with null it alone."""
    evaluate_after: int = 0
    """Steps ahead of the first of them, none of which can be the best."""
    patience: int | None = None
    """Scores without improvement after which training ends; null goes on to the last step."""
    checkpoint_every: int = 100
    """Steps between saved states, from which a run that was stopped or killed goes on."""

    def __post_init__(self) -> None:
        self._at_least(self.least_steps, "steps")
        self._at_least(1, "batch_size", "evaluate_every", "patience", "checkpoint_every")
        self._above_zero("lr")
        require(0 <= self.min_lr <= self.lr, f"min_lr: {self.min_lr} is outside [0, lr]")
        require(
            self.warmup_steps is None or 0 <= self.warmup_steps < max(self.steps, 1),
            f"warmup_steps: {self.warmup_steps} leaves no step of {self.steps} after the warm-up",
        )
        self._at_least(0, "weight_decay", "evaluate_after")
        require(self.grad_clip is None or self.grad_clip > 0, f"grad_clip: {self.grad_clip} is not above 0; use null")

    @property
    def warmup(self) -> int:
        """Steps of warm-up, as given or a tenth of all."""
        return round(self.steps / 10) if self.warmup_steps is None else self.warmup_steps


@dataclass(frozen=True)
class TrainRecipe(Optimisation):
    """Optimisation and bookkeeping of pre-training (docs/method.md, section 6)."""

    batch_size: int = 32
    """Studies in a micro-batch on one rank."""
    warmup_steps: int | None = 30
    """Steps of linear rise to the peak, before the half cosine; null takes a tenth of all."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's averaging factors."""
    evaluate_every: int | None = 100
    """Steps between held-out losses; the last step always has them, with null it alone."""
    accumulate: int | None = None
    """Micro-batches of one update; null takes one, or as many as global_batch needs."""
    global_batch: int | None = None
    """Studies of one update, over all ranks and micro-batches; accumulate follows from it and the number of processes.
    Null: batch_size times accumulate times the number of processes."""
    contrast: Literal["micro_batch", "step"] = "micro_batch"
    """Studies that sentences are compared with, where an objective compares them with other studies: those of their
    micro-batch, or those of all micro-batches of the update, for one more forward pass (docs/method.md, section 12)."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on a GPU, fp32 on a CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one."""
    ops: Literal["auto", "reference", "triton"] = "auto"
    """Implementation of the accelerated operations."""
    attention: Literal["auto", "torch", "cudnn", "flash", "efficient"] = "auto"
    """Which implementation of attention the encoder and decoder blocks try first on a GPU; auto and torch: torch's own
    order."""
    compile: bool | Literal["auto"] = "auto"
    """Compile the encoder and decoder blocks with torch.compile, for training steps alone; auto: on a GPU."""
    activation_checkpointing: bool = False
    """Recompute encoder and decoder blocks in the backward pass: less memory, more time."""
    timeout_minutes: float = 10.0
    """How long ranks wait for one that does not answer; preparing data may take longer. Its name is told then."""
    threads: int | None = None
    """CPU threads of torch; null leaves its default."""
    fixed_draws: bool = False
    """True: every epoch repeats the masks and crops of the first (for overfitting checks)."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept, besides the best."""
    after_checkpoint: str | None = None
    """Shell command that is run after each checkpoint, beside the training; see docs/own-data.md."""
    picture_every: int = 100
    """Steps between pictures; the last step always draws them."""
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ("tensorboard",)
    """Services that get every number of `metrics.jsonl`, e.g. [tensorboard, mlflow]; see docs/tracking.md."""

    def __post_init__(self) -> None:
        super().__post_init__()
        twice = [name for name in self.trackers if self.trackers.count(name) > 1]
        require(not twice, f"trackers: names {twice[0] if twice else None} twice; once is enough")
        self._at_least(1, "accumulate", "global_batch", "picture_every")
        self._above_zero("timeout_minutes")
        self._at_least(2, "keep_checkpoints")
        command = self.after_checkpoint
        require(command is None or command.strip() != "", "after_checkpoint: is empty; write a command, or null")
        require(
            self.global_batch is None or self.accumulate is None,
            f"accumulate: {self.accumulate} is given beside global_batch {self.global_batch}, from which it is worked "
            f"out; leave one of them out (null)",
        )
        self._check_division(1, section="")

    def micro_batches(self, num_processes: int) -> int:
        """Micro-batches of one update on each process.

        Raises:
            ConfigError: global_batch does not divide into those of so many processes.
        """
        self._check_division(num_processes, section="train.")
        if self.global_batch is None:
            return self.accumulate or 1
        return self.global_batch // (self.batch_size * num_processes)

    def studies_per_update(self, num_processes: int) -> int:
        """Studies of one update, over all processes. Raises ConfigError as `micro_batches` does."""
        return self.batch_size * self.micro_batches(num_processes) * num_processes

    def epoch_multiple(self, num_processes: int) -> int:
        """Studies of which an epoch holds a multiple; the last few beyond that are left out of it."""
        return self.global_batch or self.batch_size * num_processes

    def _check_division(self, num_processes: int, *, section: str) -> None:
        whole = self.global_batch
        if whole is None or whole % (self.batch_size * num_processes) == 0:
            return
        share, rest = divmod(whole, num_processes)
        processes = "" if num_processes == 1 else f" on {num_processes} processes"
        if rest:
            below = whole - rest
            multiples = f"{below} or {below + num_processes}" if below else f"{num_processes}"
            remedy = f"no batch size does; take a multiple of {num_processes}, such as {multiples}"
        else:
            remedy = f"write a {section}batch_size that does: {_divisors_near(share, self.batch_size)}"
        raise ConfigError(
            f"{section}global_batch: {whole} does not divide into micro-batches of {self.batch_size} studies"
            f"{processes}; {remedy}"
        )


def _divisors_near(number: int, wanted: int) -> str:
    """Divisors in ascending order, at most the `_MOST_NAMED` that are nearest to the wanted one."""
    small = [size for size in range(1, math.isqrt(number) + 1) if number % size == 0]
    divisors = sorted({*small, *(number // size for size in small)})
    near = sorted(sorted(divisors, key=lambda size: abs(size - wanted))[:_MOST_NAMED])
    *others, last = map(str, near)
    return f"{', '.join(others)} or {last}" if others else last
