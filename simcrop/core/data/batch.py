"""Batches: as they are loaded, and as the model sees them.

B studies, T and R tokens, S sentences, L visible and M masked patches; masks are False at padding.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int, Int16, Int64, Shaped
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from simcrop.core.data.augment import Augmentation, augment_boxes


class TensorGroup:
    """Base of a frozen dataclass whose fields are tensors, groups of them, or plain values."""

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Self:
        """The same with every tensor on `device`."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Self:
        """The same in page-locked memory (called by torch's DataLoader)."""
        return self.mapped(lambda tensor: tensor.pin_memory())

    def mapped(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same with every tensor replaced, in the order of the fields."""
        assert is_dataclass(self)
        return replace(self, **{f.name: _mapped(getattr(self, f.name), function) for f in fields(self)})


def _mapped(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, TensorGroup):
        return value.mapped(function)
    return function(value) if isinstance(value, Tensor) else value


@dataclass(frozen=True)
class Encoding:
    """One tokenised text.

    Attributes:
        ids: token ids, class token first, separator last where there is one.
        sentence_of_token: index of the sentence of each token, -1 for special tokens and those of no sentence.
        num_cut: sentences that did not fit the limit, at least one where anything was cut.
    """

    ids: tuple[int, ...]
    sentence_of_token: tuple[int, ...]
    num_cut: int


@dataclass(frozen=True, eq=False)
class Tokens(TensorGroup):
    """Several tokenised texts.

    Attributes:
        ids: token ids.
        mask: True at real tokens (class and separator tokens included).
        sentence_of_token: index of the sentence that a token belongs to, -1 for special tokens, padding, and words of
            no sentence.
    """

    ids: Int64[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    sentence_of_token: Int64[Tensor, "B T"]


@dataclass(frozen=True)
class Padding:
    """Lengths that the texts of a batch are padded to.

    A GPU likes few lengths that come again: attention and kernels are planned, tuned and allocated for each anew.

    Attributes:
        tokens: a text's length becomes a multiple of this.
        sentences: so does the number of sentences.
        max_tokens: of a text, with its padding; None: no limit.
    """

    tokens: int = 1
    sentences: int = 1
    max_tokens: int | None = None

    def for_tokens(self, lengths: Iterable[int]) -> int:
        """Tokens to pad texts to."""
        longest = max(lengths)
        length = _multiple(longest, self.tokens)
        return length if self.max_tokens is None else max(longest, min(length, self.max_tokens))

    def for_sentences(self, number: int) -> int:
        """Sentences to pad the longest text to."""
        return _multiple(number, self.sentences)


LONGEST = Padding()
"""No more than the longest text."""


def _multiple(number: int, of: int) -> int:
    return -(-number // of) * of


def padded(encodings: Sequence[Encoding], pad_id: int, length: int = 0) -> Tokens:
    """The texts side by side, padded to the longest, or to a greater length."""
    ids = pad_rows([torch.tensor(encoding.ids) for encoding in encodings], pad_id, length)
    lengths = torch.tensor([len(encoding.ids) for encoding in encodings])
    sentence_of_token = pad_rows([torch.tensor(encoding.sentence_of_token) for encoding in encodings], -1, length)
    return Tokens(ids, torch.arange(ids.shape[1]) < lengths[:, None], sentence_of_token)


def pad_rows(rows: Sequence[Tensor], value: float, length: int = 0) -> Tensor:
    """Rows of different lengths as one tensor, as long as the longest, or of a greater length."""
    together = pad_sequence(list(rows), batch_first=True, padding_value=value)
    missing = length - together.shape[1]
    if missing <= 0:
        return together
    padding = together.new_full((together.shape[0], missing, *together.shape[2:]), value)
    return torch.cat([together, padding], dim=1)


@dataclass(frozen=True, eq=False)
class MaskedReport(TensorGroup):
    """Findings and impression of one study, or of B, as report reconstruction reads them.

    Attributes:
        ids: tokens before masking: the targets.
        input_ids: the same with [MASK] at the drawn positions.
        mask: True at real tokens.
        masked: True at positions that were replaced by [MASK].
        places: those positions, counted through all rows: known on the CPU, so that a GPU need not be asked for them.
        lengths: real tokens of each row, known on the CPU likewise.
    """

    ids: Int64[Tensor, "*B R"]
    input_ids: Int64[Tensor, "*B R"]
    mask: Bool[Tensor, "*B R"]
    masked: Bool[Tensor, "*B R"]
    places: Int64[Tensor, "n"]
    lengths: tuple[int, ...]

    @classmethod
    def of(
        cls,
        ids: Int64[Tensor, "*B R"],
        input_ids: Int64[Tensor, "*B R"],
        mask: Bool[Tensor, "*B R"],
        masked: Bool[Tensor, "*B R"],
    ) -> Self:
        """The report or reports, with the places of what is masked."""
        lengths = tuple(mask.reshape(-1, mask.shape[-1]).sum(1).tolist())
        return cls(ids, input_ids, mask, masked, masked.flatten().nonzero().flatten(), lengths)


def of_similar_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Numbers of rows in groups of at most `size`, from the shortest to the longest."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[first : first + size] for first in range(0, len(order), size)]


def at_places(words: Shaped[Tensor, "B R *E"], places: Int64[Tensor, "n"] | None) -> Shaped[Tensor, "n *E"]:
    """The words at places that are counted through all rows; None: all words."""
    words = words.flatten(0, 1)
    return words if places is None else words.index_select(0, places)


@dataclass(frozen=True, eq=False)
class Inputs(TensorGroup):
    """Tensors of a micro-batch beside its volumes.

    Attributes:
        ids_keep, ids_masked: visible patches, and hidden ones that are to be rebuilt, each sorted ascending.
        findings: unmasked, for alignment.
        sentence_mask: True where a sentence of the findings exists and has at least one token.
        sentence_keys: stable hash of each sentence's normalised text; 0 at padding.
        report: for its reconstruction.
        study_keys: equal for reconstructions of one study.
        study_ids: for messages.
        num_cut: findings in this batch that were longer than the token limit.
        findings_features: what a frozen text encoder makes of `findings`, where that is known already; any number at
            padding.
        local_draws: seeds by which the local path draws the patches that it looks at; None: it looks at all.
        padding_patches: places among the visible patches of those that padding sentences take; None: the first.
        organ_shares: of each visible patch, for each class of organs; NaN where not known; None: not asked for.
    """

    ids_keep: Int64[Tensor, "B L"]
    ids_masked: Int64[Tensor, "B M"]
    findings: Tokens
    sentence_mask: Bool[Tensor, "B S"]
    sentence_keys: Int64[Tensor, "B S"]
    report: MaskedReport
    study_keys: Int64[Tensor, "B"]
    study_ids: tuple[str, ...]
    num_cut: int = 0
    findings_features: Float[Tensor, "B T hidden"] | None = None
    local_draws: Int64[Tensor, "B"] | None = None
    padding_patches: Int64[Tensor, "B K"] | None = None
    organ_shares: Float[Tensor, "B L C"] | None = None


@dataclass(frozen=True, eq=False)
class Batch(TensorGroup):
    """A micro-batch as the model sees it.

    Attributes:
        volume: HU; the model's window is applied where it is read.
        inputs: all else.
    """

    volume: Int[Tensor, "B C H W D"] | Float[Tensor, "B C H W D"]
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.volume)


@dataclass(frozen=True, eq=False)
class PreparedBatch(TensorGroup):
    """A micro-batch as it is loaded.

    Attributes:
        volume: a box of each prepared volume, HU, one after the other; their sizes may differ, so the shape is free.
        augmentations: what each box was cut by, and has still to undergo before the model sees it.
        inputs: all else.
    """

    volume: Int16[Tensor, "..."]
    augmentations: tuple[Augmentation, ...]
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.augmentations)

    @property
    def study_ids(self) -> tuple[str, ...]:
        """For messages."""
        return self.inputs.study_ids

    @property
    def num_voxels(self) -> int:
        """Of all boxes."""
        return sum(math.prod(each.size) for each in self.augmentations)

    def augmented(self) -> Batch:
        """The batch as the model sees it, made on the device where the boxes are."""
        return Batch(augment_boxes(self.volume, self.augmentations), self.inputs)
