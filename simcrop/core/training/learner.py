"""The loss of pre-training, on training batches and on studies that are held out."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from simcrop.core.data.batch import Batch, PreparedBatch, TensorGroup
from simcrop.core.evaluation.effective_rank import effective_rank, gram
from simcrop.core.model.decoder import VolumeDecoder
from simcrop.core.model.encoder import Block, VisionEncoder
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.contrast import NOTHING_COMPARED, Contrasts, compared, comparisons, contrasts, with_room
from simcrop.core.objectives.losses import Counts
from simcrop.core.objectives.objective import Pass, Sentences
from simcrop.core.ports import Communicator, SingleProcess
from simcrop.core.randomness import derive_seed
from simcrop.core.recipe import TrainRecipe

_ATTENTION = {
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
}


@dataclass(frozen=True)
class PreTraining:
    """The learner of pre-training: the objectives on volumes and their reports.

    Attributes:
        model: the network whose weights are saved.
        network: `model`, or the wrapper that averages its gradients over ranks.
        optimizers: from `make_optimizers`.
        settings: the `train` section.
        seed: of the run.
        device: where the model lives.
    """

    model: SimCroP
    network: nn.Module
    optimizers: tuple[Optimizer, ...]
    settings: TrainRecipe
    seed: int
    device: torch.device
    best_by: ClassVar[tuple[str, ...]] = ("-validation_loss",)

    def counts(self, batches: Sequence[PreparedBatch], communicator: Communicator) -> list[int]:
        """What the losses are averaged over."""
        return Counts.of(batches, self.model.objectives).row(communicator)

    def losses(
        self, batches: Sequence[PreparedBatch], *, step: int, totals: Sequence[int], communicator: Communicator
    ) -> Iterator[dict[str, Tensor]]:
        """`loss` and `loss_TERM` for every term that is switched on (a term of weight 0 is absent).

        Dropout depends on seed, step, micro-batch and rank.
        """
        counts = Counts.of_row(totals)
        known = self._contrasts(batches, step, counts, communicator)
        for index, batch in enumerate(batches):
            with nullcontext() if index == len(batches) - 1 else _without_exchange(self.network):
                with self._conditions(step, index, communicator):
                    moved = self._moved(batch, counts)
                    terms: dict[str, Tensor] = self.network(moved, counts, communicator, known[index])
                    loss = self.model.total(terms)
                yield {"loss": loss, **{f"loss_{name}": value for name, value in terms.items()}}

    def _contrasts(
        self, batches: Sequence[PreparedBatch], step: int, counts: Counts, communicator: Communicator
    ) -> Sequence[Contrasts]:
        """Terms of each micro-batch that know the others; none where each is compared by itself."""
        if not self._compares_step or len(batches) == 1 or not comparisons(self.model.objectives):
            return [NOTHING_COMPARED] * len(batches)

        def begin(batch: PreparedBatch) -> Pass:
            return self.model.begin(self._moved(batch, counts), counts, communicator)

        def parts() -> Iterator[dict[str, TensorGroup]]:
            for index, batch in enumerate(batches):
                # With a graph, though none is kept: so the very same code computes what is then learned from.
                with self._conditions(step, index, communicator):
                    part = compared(begin(batch))
                yield part

        with numerics(self.device, self.settings):
            return contrasts(parts(), begin(batches[0]), counts)

    @property
    def _compares_step(self) -> bool:
        return self.settings.contrast == "step"

    def _moved(self, batch: PreparedBatch, counts: Counts) -> Batch:
        """The batch as the model sees it, on the device."""
        moved = batch.to(self.device, non_blocking=True).augmented()
        return with_room(moved, counts.longest) if self._compares_step else moved

    @contextmanager
    def _conditions(self, step: int, index: int, communicator: Communicator) -> Generator[None]:
        """Precision and random draws of a micro-batch."""
        seed = derive_seed("dropout", self.seed, step, index, communicator.rank)
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        with numerics(self.device, self.settings):
            yield


def _without_exchange(network: nn.Module) -> AbstractContextManager[None]:
    """Gradients travel between ranks once a step, with its last micro-batch."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def counts_of(batches: Sequence[PreparedBatch]) -> dict[str, int]:
    """Counts of a step's micro-batches for its row."""
    return {"num_cut": sum(batch.inputs.num_cut for batch in batches)}


@contextmanager
def numerics(device: torch.device, recipe: TrainRecipe) -> Generator[None]:
    """bf16 autocast where `train.precision` asks for it (auto: on a GPU)."""
    enabled = recipe.precision == "bf16" or (recipe.precision == "auto" and device.type == "cuda")
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled):
        yield


def arrange_blocks(part: VisionEncoder | VolumeDecoder, device: torch.device, recipe: TrainRecipe) -> None:
    """Let the blocks attend as `train.attention` says, and compute them twice where memory is to be saved."""
    part.recompute = recipe.activation_checkpointing
    for block in part.blocks:
        assert isinstance(block, Block)
        block.attn.order = attention_order(device, recipe)


def attention_order(device: torch.device, recipe: TrainRecipe) -> list[SDPBackend]:
    """Implementations of the image blocks' attention, first choice first; empty leaves torch's own order."""
    if device.type != "cuda" or recipe.attention in ("auto", "torch"):
        return []
    first = _ATTENTION[recipe.attention]
    return [first, *(other for other in (*_ATTENTION.values(), SDPBackend.MATH) if other != first)]


@torch.no_grad()
def held_out_losses(learner: PreTraining, batches: Iterable[Batch], communicator: Communicator) -> dict[str, float]:
    """Losses over held-out studies, `validation_loss` and `validation_loss_TERM`, and a meter of collapse.

    `rank_sentences` and `rank_volumes` are the effective ranks of the sentences' features and of the volumes' (mean of
    their patches) where sentences and patches are compared; a model that is trained without alignment has none.

    Every batch is scored by itself (negatives are its own), then averaged by what each term counts, so the result does
    not depend on the number of ranks.

    Args:
        learner: its model is left in training mode.
        batches: this rank's share; may be empty.
        communicator: the ranks.

    Returns:
        The means; nothing at all where no rank has a held-out study.
    """
    model, alone = learner.model, SingleProcess()
    names = list(model.objectives.active)
    sums = torch.zeros(2, len(names), dtype=torch.float64)
    dim = model.recipe.projection_dim if model.matches_sentences else 0
    grams = torch.zeros(2, dim, dim, dtype=torch.float64)
    model.eval()
    for batch in batches:
        counts = Counts.of([batch], model.objectives)
        weights = torch.tensor([counts.terms[name] for name in names], dtype=torch.float64)
        with numerics(learner.device, learner.settings):
            step = model.begin(batch.to(learner.device), counts, alone)
            terms = model.terms(step, counts)
            if model.matches_sentences:
                grams += _grams(*step.local()).cpu()
        values = torch.stack([terms[name].double() for name in names]).cpu()
        sums += torch.stack([values * weights, weights])
    model.train()
    together = communicator.sum(torch.cat([sums.flatten(), grams.flatten()]))
    sums, grams = together[: sums.numel()].view_as(sums), together[sums.numel() :].view_as(grams)
    if not sums[1].any():
        return {}
    means = dict(zip(names, sums[0] / sums[1].clamp(min=1.0), strict=True))
    losses = {f"validation_loss_{name}": value.item() for name, value in means.items()}
    ranks = dict(zip(("rank_sentences", "rank_volumes"), map(effective_rank, grams), strict=True)) if dim else {}
    return {"validation_loss": model.total(means).item(), **losses, **ranks}


def _grams(patches: Float[Tensor, "B L dim"], sentences: Sentences) -> Float[Tensor, "2 dim dim"]:
    return torch.stack([gram(sentences.features[sentences.mask]), gram(patches.mean(1))])
