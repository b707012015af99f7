"""Texts in tokens: one, and several padded to the longest."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from simcrop.core.data.tensors import TensorGroup


@dataclass(frozen=True)
class Encoding:
    """One tokenised text.

    Attributes:
        ids: token ids, class token first, separator last.
        sentence_of_token: index of the sentence of each token, -1 for special tokens.
        num_cut: sentences that did not fit the limit.
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
        sentence_of_token: index of the sentence that a token belongs to, -1 for special tokens and padding.
    """

    ids: Int64[Tensor, "B T"]
    mask: Bool[Tensor, "B T"]
    sentence_of_token: Int64[Tensor, "B T"]


def padded(encodings: Sequence[Encoding], pad_id: int) -> Tokens:
    """The texts side by side, padded to the longest."""
    ids = pad_rows([torch.tensor(encoding.ids) for encoding in encodings], pad_id)
    lengths = torch.tensor([len(encoding.ids) for encoding in encodings])
    sentence_of_token = pad_rows([torch.tensor(encoding.sentence_of_token) for encoding in encodings], -1)
    return Tokens(ids, torch.arange(ids.shape[1]) < lengths[:, None], sentence_of_token)


def pad_rows(rows: Sequence[Tensor], value: float) -> Tensor:
    """Rows of different lengths as one tensor."""
    return pad_sequence(list(rows), batch_first=True, padding_value=value)
