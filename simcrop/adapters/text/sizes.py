"""Sizes of a text encoder whose weights a checkpoint stores, in a file beside its tokenizer."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from simcrop.adapters.config.errors import why_invalid
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import CheckpointError
from simcrop.core.recipe import MOST_BLOCKS, MOST_TOKENS, MOST_WIDTH, MOST_WORDS

_Share = Annotated[float, Field(ge=0, lt=1)]


class BertSizes(BaseModel):
    """All that decides how a `BertModel` reads a text, by the names of transformers; what else stands there is not."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)

    vocab_size: Annotated[int, Field(ge=1, le=MOST_WORDS)]
    hidden_size: Annotated[int, Field(ge=1, le=MOST_WIDTH)]
    num_hidden_layers: Annotated[int, Field(ge=0, le=MOST_BLOCKS)]
    num_attention_heads: Annotated[int, Field(ge=1, le=MOST_WIDTH)]
    intermediate_size: Annotated[int, Field(ge=1, le=MOST_WIDTH)]
    max_position_embeddings: Annotated[int, Field(ge=1, le=MOST_TOKENS)]
    type_vocab_size: Annotated[int, Field(ge=1, le=MOST_TOKENS)] = 2
    hidden_act: Literal["gelu", "gelu_new", "relu", "silu", "swish"] = "gelu"
    hidden_dropout_prob: _Share = 0.1
    attention_probs_dropout_prob: _Share = 0.1
    initializer_range: Annotated[float, Field(ge=0, le=1)] = 0.02
    layer_norm_eps: Annotated[float, Field(gt=0, le=1)] = 1e-12
    pad_token_id: Annotated[int, Field(ge=0, le=MOST_WORDS)] | None = 0


def read_sizes(path: Path) -> BertSizes:
    """The sizes in a file that `to_json_file` of a `BertConfig` wrote.

    Raises:
        CheckpointError: it cannot be read, or tells of no BERT that a computer has room for.
    """
    try:
        sizes = BertSizes.model_validate(read_json(path))
        if sizes.hidden_size % sizes.num_attention_heads:
            raise ValueError(f"hidden_size: {sizes.hidden_size} is not divisible by {sizes.num_attention_heads} heads")
        if sizes.pad_token_id is not None and sizes.pad_token_id >= sizes.vocab_size:
            raise ValueError(f"pad_token_id: {sizes.pad_token_id} is none of {sizes.vocab_size} tokens")
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({why_invalid(error)}); take another checkpoint") from error
    return sizes
