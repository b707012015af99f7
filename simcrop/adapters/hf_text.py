"""Text encoders and tokenizers of the transformers library (METHOD section 7).

Only plain `BertModel` and `BertTokenizer` (the fast one), never code from a hub; the network is used for a hub id alone.
transformers is imported when first needed, since that takes seconds.
"""

import unicodedata
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from simcrop.core.errors import CheckpointError, ConfigError, DataError
from simcrop.core.ports import Encoding
from simcrop.core.recipe import TextEncoderRecipe

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUING = "##"
_MIN_FREQUENCY = 2
_UNUSED_WEIGHTS = ("pooler.", "embeddings.position_ids")


class HFTokenizer:
    """A WordPiece tokenizer behind the port `Tokenizer`."""

    def __init__(self, tokenizer: Any) -> None:
        """
        Args:
            tokenizer: a `BertTokenizer`; its special tokens decide the ids.

        Raises:
            ConfigError: if it lacks a special token.
        """
        self._tokenizer = tokenizer
        self.vocab_size = len(tokenizer)
        self.pad_id = _special_id(tokenizer, "pad")
        self.mask_id = _special_id(tokenizer, "mask")
        self.cls_id = _special_id(tokenizer, "cls")
        self.sep_id = _special_id(tokenizer, "sep")

    def encode(self, sentences: Sequence[str], *, max_tokens: int) -> Encoding:
        """Tokens of the sentences in order, cut after the last whole one that fits `max_tokens`, special ones included.

        A first sentence longer than the limit is cut at the limit, and counts as one that did not fit. Tokens belong to
        sentences by their character offsets.
        """
        ends: list[int] = []
        for sentence in sentences:
            ends.append((ends[-1] + 1 if ends else 0) + len(sentence))
        coded = self._tokenizer.backend_tokenizer.encode(" ".join(sentences), add_special_tokens=False)
        owner: list[int] = []
        index = 0
        for start, _ in coded.offsets:
            while start >= ends[index]:
                index += 1
            owner.append(index)
        room = max_tokens - 2
        num_kept, num_cut = len(owner), 0
        if num_kept > room:
            first_out = owner[room]
            num_cut = len(sentences) - first_out
            num_kept = owner.index(first_out) or room
        ids = (self.cls_id, *coded.ids[:num_kept], self.sep_id)
        return Encoding(ids, (-1, *owner[:num_kept], -1), num_cut)

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files into a folder, made if absent."""
        self._tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> "HFTokenizer":
        """The tokenizer that `save` wrote.

        Raises:
            CheckpointError: if the folder holds none.
        """
        try:
            return cls(_load_tokenizer(str(folder), local_files_only=True))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(f"{folder}: holds no tokenizer ({_one_line(error)})") from error


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
        self, input_ids: Int64[Tensor, "B T"], attention_mask: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T hidden"]:
        """Last hidden state; padding is attended by nothing."""
        return self.bert(input_ids=input_ids, attention_mask=attention_mask.long()).last_hidden_state


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


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, max_tokens: int) -> HFTokenizer:
    """Learn a lower-cased WordPiece vocabulary; the same texts in the same order give the same vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    normalizer = normalizers.BertNormalizer(lowercase=True)
    lines = [normalizer.normalize_str(text) for text in texts]
    alphabet = sorted({c for line in lines for c in line if not c.isspace()})
    if not alphabet:
        raise DataError(
            "the training reports hold no text to learn a vocabulary from; use a loaded text_encoder.source"
        )
    learner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # The trainer numbers single characters in the order of a hash map, and ties between pairs go by number: naming the
    # characters as special tokens fixes their numbers, so that the result does not change from process to process.
    single = [*alphabet, *(_CONTINUING + c for c in alphabet if not _stands_alone(c))]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size, len(_SPECIAL) + len(single)),
        min_frequency=_MIN_FREQUENCY,
        special_tokens=[*_SPECIAL, *single],
        show_progress=False,
    )
    learner.train_from_iterator(lines, trainer)
    return HFTokenizer(BertTokenizer(vocab=learner.get_vocab(), do_lower_case=True, model_max_length=max_tokens))


def _stands_alone(character: str) -> bool:
    """Whether the pre-tokenizer makes the character a word of its own."""
    return unicodedata.category(character).startswith("P")


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
    except (OSError, ValueError, TypeError, RuntimeError, KeyError) as error:
        remedy = "name a folder or hub id of a BERT model with its tokenizer, or write scratch"
        raise ConfigError(f"text_encoder.source: {source} cannot be loaded ({_one_line(error)}); {remedy}") from error
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(_UNUSED_WEIGHTS))
    if missing:
        raise ConfigError(
            f"text_encoder.source: {source} is not of the BERT type ({len(missing)} weights are missing, among them "
            f"{missing[0]}); name another, or write scratch"
        )
    _check_sizes(recipe, tokenizer, bert.config)
    return tokenizer, HFTextEncoder(bert)


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
    tokenizer = HFTokenizer(_load_tokenizer(where, **options))
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


def _load_tokenizer(where: str, **options: Any) -> Any:
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(where, **options)
    # A file may carry settings that cut or pad; both are done here, by whole sentences.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _special_id(tokenizer: Any, name: str) -> int:
    number = getattr(tokenizer, f"{name}_token_id")
    if number is None:
        raise ConfigError(f"text_encoder.source: its tokenizer has no {name} token; name a BERT-type tokenizer")
    return int(number)


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
