"""The sentences of a micro-batch in the space that they share with patches (docs/method.md, section 4)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.data.tensors import TensorGroup
from simcrop.core.ports import Communicator


@dataclass(frozen=True, eq=False)
class Sentences(TensorGroup):
    """The sentences of a micro-batch, of one rank or gathered from all.

    Attributes:
        features: sentence embeddings; a padding row is zero.
        mask: True where a sentence exists.
        keys: stable hash of each sentence's text.
        study_keys: equal for reconstructions of one study.
        meaning: frozen text features that tell paraphrases, or None where the text encoder is being trained.
    """

    features: Float[Tensor, "B S E"]
    mask: Bool[Tensor, "B S"]
    keys: Int64[Tensor, "B S"]
    study_keys: Int64[Tensor, "B"]
    meaning: Float[Tensor, "B S F"] | None = None

    def gathered(self, communicator: Communicator) -> "Sentences":
        """Those of all ranks, in the order of ranks, padded to the longest report of any."""
        if communicator.world_size == 1:
            return self
        padded = self.padded(longest_anywhere(self.mask.shape[1], communicator, self.mask.device))
        return padded.mapped(communicator.gather)

    def padded(self, num_sentences: int) -> "Sentences":
        """The same with room for `num_sentences` in every report."""
        # The study keys alone have no axis of sentences.
        return self.mapped(lambda values: pad_sentences(values, num_sentences) if values.ndim > 1 else values)


def longest_anywhere(num_sentences: int, communicator: Communicator, device: torch.device) -> int:
    """The largest `num_sentences` of any rank."""
    if communicator.world_size == 1:
        return num_sentences
    return int(communicator.gather(torch.tensor([num_sentences], device=device)).max())


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
