"""Text encoders of the transformers library (docs/method.md, section 7).

Only the plain BERT classes, never code from a hub; the network is used for a hub id alone. transformers is imported
when first needed, since that takes seconds.

CXR-BERT is such a BERT below `bert.`, with a masked-language-model head `cls.predictions` and a `cls_projection_head`
beside it, which are left out. Its `auto_map` and its tokenizer's class name code in the same folder, which is not run.
Source: its published class, of microsoft/hi-ml (hi-ml-multimodal, text/model).
"""

import logging
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.adapters.system.pickles import why_unread
from simcrop.adapters.text.sizes import read_sizes
from simcrop.adapters.text.tokenizer import HFTokenizer, read_tokenizer, train_tokenizer
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.attention import masked_attention
from simcrop.core.recipe import TextEncoderRecipe

_log = logging.getLogger("simcrop")

_PADDING = -2
"""Stands for the sentence of padding; that of special tokens is -1."""
_SIZES = "text_encoder.json"
_UNUSED_WEIGHTS = ("pooler.", "embeddings.position_ids")
_LAYER = re.compile(r"(bert\.)?encoder\.layer\.")


class HFTextEncoder(nn.Module):
    """A `BertModel` behind the port `TextEncoder`. Freezing and eval mode are the caller's."""

    def __init__(self, bert: nn.Module) -> None:
        """
        Args:
            bert: a `BertModel` without pooling layer.
        """
        super().__init__()
        self.bert = bert
        self.hidden_size: int = bert.config.hidden_size  # pyright: ignore[reportAttributeAccessIssue, reportAssignmentType]

    def forward(
        self,
        input_ids: Int64[Tensor, "B T"],
        attention_mask: Bool[Tensor, "B T"],
        sentence_of_token: Int64[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T hidden"]:
        """Last hidden state, of whole texts or of each sentence by itself; padding is attended by no real token."""
        if sentence_of_token is None:
            # Four axes: of two, transformers would ask the device whether the mask hides anything at all.
            mask, places = attention_mask[:, None, None], None
        else:
            owners = sentence_of_token.masked_fill(~attention_mask, _PADDING)
            mask, places = (owners[:, :, None] == owners[:, None, :])[:, None], _places_in_runs(owners)
        with masked_attention(input_ids.device):
            return self.bert(input_ids=input_ids, attention_mask=mask, position_ids=places).last_hidden_state


def _places_in_runs(values: Int64[Tensor, "B T"]) -> Int64[Tensor, "B T"]:
    """For each element the number of equal ones right before it."""
    places = torch.arange(values.shape[1], device=values.device).expand_as(values)
    begins = torch.ones_like(values, dtype=torch.bool)
    begins[:, 1:] = values[:, 1:] != values[:, :-1]
    return places - places.where(begins, 0).cummax(1).values


def load_text_encoder(
    recipe: TextEncoderRecipe, *, reports: Callable[[], Iterable[str]] | None = None, folder: Path | None = None
) -> tuple[HFTokenizer, HFTextEncoder]:
    """Tokenizer and encoder of the recipe.

    Args:
        recipe: `source: scratch` builds a small BERT with random weights (torch's generator); a folder or hub id is
            loaded.
        reports: the training texts, for a vocabulary of one's own; called only where one has to be learned.
        folder: a saved tokenizer, which wins over learning one; for `scratch` alone.

    Raises:
        ConfigError: naming the key, if the source cannot be loaded or reads fewer tokens than `max_tokens`.
        DataError: if there is no text to learn a vocabulary from.
    """
    if recipe.source != "scratch":
        return _load(recipe)
    if folder is not None:
        tokenizer = HFTokenizer.load(folder)
    elif reports is not None:
        tokenizer = train_tokenizer(reports(), vocab_size=recipe.vocab_size, max_tokens=recipe.max_tokens)
    else:
        raise ConfigError("text_encoder.source: scratch needs training reports, or a saved tokenizer")
    return tokenizer, HFTextEncoder(_new_bert(recipe, tokenizer))


def save_text_encoder(tokenizer: HFTokenizer, text_encoder: HFTextEncoder, folder: Path) -> None:
    """Write what `restore_text_encoder` needs into a folder: the tokenizer and the sizes, not the weights."""
    tokenizer.save(folder)
    text_encoder.bert.config.to_json_file(folder / _SIZES)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]


def restore_text_encoder(folder: Path) -> tuple[HFTokenizer, HFTextEncoder]:
    """Tokenizer and encoder that `save_text_encoder` wrote; the weights are random, the caller has the right ones.

    Raises:
        CheckpointError: if the folder does not hold both, or they do not belong together.
    """
    from transformers import BertConfig, BertModel

    sizes = read_sizes(folder / _SIZES)
    tokenizer = HFTokenizer.load(folder)
    if tokenizer.vocab_size > sizes.vocab_size:
        raise CheckpointError(
            f"{folder / _SIZES}: damaged (it tells of {sizes.vocab_size} tokens, and the tokenizer beside it has "
            f"{tokenizer.vocab_size}); take another checkpoint"
        )
    config = BertConfig(**sizes.model_dump())
    return tokenizer, HFTextEncoder(BertModel(config, add_pooling_layer=False))


def _new_bert(recipe: TextEncoderRecipe, tokenizer: HFTokenizer) -> nn.Module:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=recipe.hidden_size,
        num_hidden_layers=recipe.depth,
        num_attention_heads=recipe.num_heads,
        intermediate_size=4 * recipe.hidden_size,
        max_position_embeddings=recipe.max_tokens,
        pad_token_id=tokenizer.pad_id,
        hidden_dropout_prob=recipe.dropout,
        attention_probs_dropout_prob=recipe.dropout,
    )
    return BertModel(config, add_pooling_layer=False)


def _load(recipe: TextEncoderRecipe) -> tuple[HFTokenizer, HFTextEncoder]:
    source = recipe.source
    is_folder = Path(source).expanduser().is_dir()
    if not is_folder and (source.count("/") > 1 or source.startswith((".", "/", "~"))):
        raise ConfigError(f"text_encoder.source: the folder {source} does not exist; correct it, or write scratch")
    where = str(Path(source).expanduser()) if is_folder else source
    try:
        with _quiet():
            tokenizer, bert, info = _read(where, is_folder=is_folder, revision=recipe.revision)
    except Exception as error:  # what is no such file fails inside transformers or the unpickler in any way
        remedy = "name a folder or hub id of a BERT model with its tokenizer, or write scratch"
        raise ConfigError(f"text_encoder.source: {source} cannot be loaded ({why_unread(error)}); {remedy}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(_UNUSED_WEIGHTS))
    if missing:
        raise ConfigError(
            f"text_encoder.source: {source} is not of the BERT type ({len(missing)} weights are missing, among them "
            f"{missing[0]}); name another, or write scratch"
        )
    _account_for_rest(source, sorted(info["unexpected_keys"]))
    _check_sizes(recipe, tokenizer, bert.config)
    return tokenizer, HFTextEncoder(bert)


def _account_for_rest(source: str, names: list[str]) -> None:
    """Name in the log what else the file of weights holds; refuse more layers than its config.json tells of."""
    layers = [name for name in names if _LAYER.match(name)]
    if layers:
        raise ConfigError(
            f"text_encoder.source: {source} has {len(layers)} weights of layers that its config.json lacks, such "
            f"as {layers[0]}; put the config.json there that belongs to them"
        )
    rest = [name for name in names if not name.removeprefix("bert.").startswith(_UNUSED_WEIGHTS)]
    if rest:
        _log.info("text_encoder.source: %s: heads beside the encoder, left out: %s", source, ", ".join(rest))


def _read(where: str, *, is_folder: bool, revision: str | None) -> tuple[HFTokenizer, Any, dict[str, Any]]:
    """Tokenizer, model and transformers' account of its weights."""
    from transformers import BertConfig, BertModel

    options: dict[str, Any] = {"local_files_only": True} if is_folder else {"revision": revision or "main"}
    if not is_folder:
        # What is in the hub's cache is not asked for again; and an id that does not exist fails here, once.
        try:
            BertConfig.from_pretrained(where, local_files_only=True, **options)
            options["local_files_only"] = True
        except OSError:
            BertConfig.from_pretrained(where, **options)
    tokenizer = read_tokenizer(where, **options)
    loaded: Any = BertModel.from_pretrained(where, add_pooling_layer=False, output_loading_info=True, **options)
    bert, info = loaded
    return tokenizer, bert, info


def _check_sizes(recipe: TextEncoderRecipe, tokenizer: HFTokenizer, config: Any) -> None:
    if recipe.max_tokens > config.max_position_embeddings:
        raise ConfigError(
            f"text_encoder.max_tokens: {recipe.max_tokens} is above the {config.max_position_embeddings} positions of "
            f"{recipe.source}; write {config.max_position_embeddings} or less"
        )
    if tokenizer.vocab_size > config.vocab_size:
        raise ConfigError(
            f"text_encoder.source: the tokenizer of {recipe.source} has {tokenizer.vocab_size} tokens, its model "
            f"{config.vocab_size}; the two do not belong together"
        )


@contextmanager
def _quiet() -> Generator[None]:
    """Keep transformers from printing load reports and bars."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()
