"""Define a term of the loss, what it may ask of the network, and the sentences that some compare (docs/method.md,
sections 4 and 6).

A loss is normalised by a count over the whole step, that is over all ranks and micro-batches, never by a mean of means.
What an objective computes is this rank's share: summed over micro-batches and averaged over ranks it is the step's
value, because DDP averages gradients over ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, Inputs, TensorGroup
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ModelRecipe, ObjectivesRecipe


@dataclass(frozen=True, eq=False)
class Sentences(TensorGroup):
    """The sentences of a micro-batch, of one rank or gathered from all.

    Attributes:
        features: sentence embeddings; a padding row is zero.
        mask: True where a sentence exists.
        keys: stable hash of each sentence's text.
        study_keys: equal for reconstructions of one study.
        meaning: frozen text features that tell paraphrases, or None where the text encoder is being trained.
        longest: sentences that ranks pad their reports to before they exchange them: those of the longest of any.
    """

    features: Float[Tensor, "B S E"]
    mask: Bool[Tensor, "B S"]
    keys: Int64[Tensor, "B S"]
    study_keys: Int64[Tensor, "B"]
    meaning: Float[Tensor, "B S F"] | None = None
    longest: int = 0

    def gathered(self, communicator: Communicator) -> "Sentences":
        """Those of all ranks, in the order of ranks, padded to the longest report of any."""
        if communicator.world_size == 1:
            return self
        own = self.padded(max(self.longest, self.mask.shape[1]))
        # One exchange for all that is no feature.
        facts = communicator.gather(torch.cat([own.mask.long(), own.keys, own.study_keys[:, None]], dim=1))
        mask, keys, study_keys = facts.split([own.mask.shape[1], own.keys.shape[1], 1], dim=1)
        return replace(
            own,
            features=communicator.gather(own.features),
            mask=mask.bool(),
            keys=keys,
            study_keys=study_keys[:, 0],
            meaning=None if own.meaning is None else communicator.gather(own.meaning),
        )

    def padded(self, num_sentences: int) -> "Sentences":
        """The same with room for `num_sentences` in every report."""
        # The study keys alone have no axis of sentences.
        return self.mapped(lambda values: pad_sentences(values, num_sentences) if values.ndim > 1 else values)


def pad_sentences(values: Tensor, num_sentences: int) -> Tensor:
    """[B, S, ...] to [B, num_sentences, ...] with zeros."""
    if values.shape[1] == num_sentences:
        return values
    room = values.new_zeros(values.shape[0], num_sentences - values.shape[1], *values.shape[2:])
    return torch.cat([values, room], dim=1)


def sentence_means(
    tokens: Float[Tensor, "B T E"], sentence_of_token: Int64[Tensor, "B T"], num_sentences: int
) -> Float[Tensor, "B S E"]:
    """Mean of the tokens of each sentence; a sentence without a token gives zeros."""
    belongs = sentence_of_token[:, None] == torch.arange(num_sentences, device=tokens.device)[None, :, None]
    weights = belongs.to(tokens.dtype)
    return weights @ tokens / weights.sum(2, keepdim=True).clamp_min(1.0)


def own_columns(first: int, num_rows: int, num_columns: int, device: torch.device) -> Bool[Tensor, "R C"]:
    """True where a row meets itself, the rows being the columns from `first` on: this rank's among those of all."""
    rows = torch.arange(first, first + num_rows, device=device)
    return rows[:, None] == torch.arange(num_columns, device=device)


def summed_cross_entropy(
    logits: Float[Tensor, "*G R C"],
    *,
    allowed: Bool[Tensor, "*G R C"],
    own: Bool[Tensor, "*G R C"],
    rows: Bool[Tensor, "*G R"],
) -> Float[Tensor, ""]:
    """Sum over the wanted rows of -log softmax at the row's own column, over the allowed columns."""
    logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
    losses = logits.logsumexp(-1) - logits.masked_fill(~own, 0.0).sum(-1)
    return losses.masked_fill(~rows, 0.0).sum()


def cosines(rows: Float[Tensor, "*G R E"], columns: Float[Tensor, "*G C E"]) -> Float[Tensor, "*G R C"]:
    """Cosine of every row with every column, in fp32 at least; 0 with a zero row.

    Outside autocast: over a temperature of 0.07, a bf16 product is off by several hundredths.
    """
    with torch.autocast(rows.device.type, enabled=False):
        return _unit(rows) @ _unit(columns).transpose(-1, -2)


def _unit(features: Tensor) -> Tensor:
    """Rows over max(norm, 1e-12), in fp32 at least; a zero row stays zero."""
    features = features if features.dtype == torch.float64 else features.float()
    return F.normalize(features, dim=-1, eps=1e-12)


Matched = tuple[Float[Tensor, "B L dim"], Sentences]
"""Patches and sentences in a space that they share."""


class Pass(Protocol):
    """One pass of a micro-batch through the network; what objectives share is computed once."""

    objectives: ObjectivesRecipe
    model: ModelRecipe
    ops: Ops
    batch: Batch
    communicator: Communicator
    num_studies: int
    """Of the whole step over all ranks."""

    def contextual(self) -> Matched:
        """The encoder's visible patches, and sentences of the findings."""
        ...

    def aligned(self) -> Float[Tensor, "B S dim"]:
        """Mean of the patches of `contextual` that each of its sentences selects."""
        ...

    def local(self) -> Matched:
        """Patches of the local path, and sentences of the findings; without such a path the same as `contextual`."""
        ...

    def scan(self) -> Float[Tensor, "B 1 dim"] | None:
        """Mean of the encoder's visible tokens in the space of `local`, where late interaction compares it too."""
        ...

    def patch_tokens(self) -> Float[Tensor, "B L E"]:
        """The encoder's visible patches, as they leave it."""
        ...

    def predicted_patches(self) -> Float[Tensor, "B M P"]:
        """Masked patches as the decoder predicts them."""
        ...

    def predicted_tokens(self, wanted: Int64[Tensor, "n"] | None) -> Float[Tensor, "n vocab"]:
        """Logits of the report's tokens at the wanted places, from its unmasked words and the visible patches."""
        ...

    def module(self, name: str) -> nn.Module:
        """The module that the objective's `module` has made."""
        ...


Compared = TypeVar("Compared", bound=TensorGroup)


@dataclass(frozen=True)
class Comparison(Generic[Compared]):
    """A share that compares the studies of a batch with each other.

    What it reads of each micro-batch may be put together before it is compared (`objectives.contrast`).

    Attributes:
        read: what of a pass is compared; axis 0 of each of its tensors counts studies.
        share: as in `Objective`, from what was read; of the pass it asks for nothing else that depends on its studies.
        crosses_studies: whether the recipe has it compare a study with others.
    """

    read: Callable[[Pass], Compared]
    share: Callable[[Compared, Pass, int], Float[Tensor, ""]]
    crosses_studies: Callable[[ObjectivesRecipe], bool] = lambda _: True

    def __call__(self, step: Pass, count: int) -> Float[Tensor, ""]:
        """The share of one micro-batch by itself."""
        return self.share(self.read(step), step, count)


@dataclass(frozen=True)
class Objective:
    """A term of the loss; its section of the recipe says how much it weighs, and what it needs.

    Attributes:
        name: of its section, its loss in metrics and pictures, and its module.
        count: number of things in a micro-batch that its loss is averaged over.
        share: this rank's share of its loss, from a pass and the count of the whole step over all ranks; 0, still
            connected to the parameters, where there is nothing to count. A `Comparison` where studies are compared.
        module: makes parameters of its own, where it has some.
    """

    name: str
    count: Callable[[Inputs, ObjectivesRecipe], int]
    share: Callable[[Pass, int], Float[Tensor, ""]] | Comparison[Any]
    module: Callable[[ObjectivesRecipe, ModelRecipe, Ops], nn.Module] | None = None
