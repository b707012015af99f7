"""WordPiece tokenizers: learned from reports with `tokenizers`, or read from files by transformers."""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from simcrop.adapters.system.outside_files import small_file
from simcrop.core.data.batch import Encoding
from simcrop.core.errors import CheckpointError, ConfigError, DataError, one_line

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUING = "##"
_MIN_FREQUENCY = 2
_LONGEST_WORD = 10_000
"""Letters; a longer word is unknown as a whole, and at the usual 100 so is a sentence of Thai, which has no spaces."""

_MOST_BYTES = 32 << 20
"""Of a tokenizer's file; one of half a million tokens has less than half of that."""


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
        self.unk_id = _special_id(tokenizer, "unk")
        tokenizer.backend_tokenizer.model.max_input_chars_per_word = _LONGEST_WORD

    @property
    def identity(self) -> str:
        """Hash of all that decides which tokens a text has."""
        rules = self._tokenizer.backend_tokenizer.to_str()
        return hashlib.sha256(f"{self.cls_id} {self.sep_id} {rules}".encode()).hexdigest()

    def tokens(self, text: str) -> tuple[Sequence[int], Sequence[tuple[int, int]]]:
        """Ids of the tokens of a text, special ones left out, and the characters of each: first, and past the last."""
        coded = self._tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        return coded.ids, coded.offsets

    def encode(self, sentences: Sequence[str], *, max_tokens: int, separator: bool = True) -> Encoding:
        """Tokens of the sentences in order, cut after the last whole one that fits `max_tokens`, special ones included.

        A first sentence longer than the limit is cut at the limit, and counts as one that did not fit. Tokens belong to
        sentences by their character offsets. `separator`: whether one stands behind the last.
        """
        ends: list[int] = []
        for sentence in sentences:
            ends.append((ends[-1] + 1 if ends else 0) + len(sentence))
        ids, spans = self.tokens(" ".join(sentences))
        owner: list[int] = []
        index = 0
        for start, _ in spans:
            while start >= ends[index]:
                index += 1
            owner.append(index)
        end = (self.sep_id,) if separator else ()
        room = max_tokens - 1 - len(end)
        num_kept, num_cut = len(owner), 0
        if num_kept > room:
            first_out = owner[room]
            num_cut = len(sentences) - first_out
            num_kept = owner.index(first_out) or room
        return Encoding((self.cls_id, *ids[:num_kept], *end), (-1, *owner[:num_kept], *(-1 for _ in end)), num_cut)

    def save(self, folder: Path, *, max_tokens: int | None = None) -> None:
        """Write the tokenizer's files into a folder, made if absent.

        Args:
            folder: of the files.
            max_tokens: limit of a text that other programs are to keep; None leaves what is known of one.

        Raises:
            OSError: the disk refuses.
        """
        tokenizer = copy(self._tokenizer)
        if max_tokens is not None:
            tokenizer.model_max_length = max_tokens
        try:
            tokenizer.save_pretrained(folder)
        except Exception as error:
            if "(os error " not in str(error):
                raise
            # What the system refuses to the part in Rust is raised as a bare Exception.
            raise OSError(str(error)) from error

    @staticmethod
    def load(folder: Path) -> "HFTokenizer":
        """The tokenizer that `save` wrote.

        Raises:
            CheckpointError: if the folder holds none.
        """
        try:
            for path in folder.iterdir():
                small_file(path, _MOST_BYTES)
            tokenizer = read_tokenizer(str(folder), local_files_only=True)
            tokenizer.require_ids_in_range()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # the library fails of what is no such file in any way: a Rust panic is one
            reason = getattr(error, "strerror", None) or one_line(error) or type(error).__name__
            raise CheckpointError(f"{folder}: holds no tokenizer ({reason}); take another checkpoint") from error
        return tokenizer

    def require_ids_in_range(self) -> None:
        """Raise ValueError where a token has a number that no table of as many rows as there are tokens has."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        token, number = max(vocabulary.items(), key=lambda item: item[1])
        if number >= self.vocab_size:
            raise ValueError(f"{ascii(token)[:40]} is token {number} of {self.vocab_size}")


def train_tokenizer(texts: Iterable[str], *, vocab_size: int, max_tokens: int) -> HFTokenizer:
    """Learn a lower-cased WordPiece vocabulary; the same texts in the same order give the same vocabulary.

    Marks stay with their letters: without them Hindi loses its vowels, Thai its tones, and Japanese half its syllables.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
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
    vocabulary = learner.get_vocab()
    return HFTokenizer(
        BertTokenizer(vocab=vocabulary, do_lower_case=True, strip_accents=False, model_max_length=max_tokens)
    )


def _stands_alone(character: str) -> bool:
    """Whether the pre-tokenizer makes the character a word of its own."""
    return unicodedata.category(character).startswith("P")


def read_tokenizer(where: str, **options: Any) -> HFTokenizer:
    """The tokenizer of a folder or hub id; options as transformers' `from_pretrained` takes them."""
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(where, **options)
    # A file may carry settings that cut or pad; both are done here, by whole sentences.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    return HFTokenizer(tokenizer)


def _special_id(tokenizer: Any, name: str) -> int:
    number = getattr(tokenizer, f"{name}_token_id")
    if number is None:
        raise ConfigError(f"text_encoder.source: its tokenizer has no {name} token; name a BERT-type tokenizer")
    return int(number)
