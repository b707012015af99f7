"""Reports as a model reads them: divided into sentences and encoded, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, Self

from simcrop.core.data.batch import Encoding
from simcrop.core.data.study import Report
from simcrop.core.ports import Tokenizer
from simcrop.core.recipe import TextEncoderRecipe
from simcrop.core.reports.published import as_published, joined, sentence_ends
from simcrop.core.reports.text import sentence_key, sentences_of


@dataclass(frozen=True)
class Findings:
    """Sentences that a model reads as one text.

    Attributes:
        texts: every sentence, those beyond the limit of tokens too.
        encoding: the tokens of those that fit.
    """

    texts: tuple[str, ...]
    encoding: Encoding

    @cached_property
    def keys(self) -> tuple[int, ...]:
        """`sentence_key` of every sentence."""
        return tuple(map(sentence_key, self.texts))

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Indices of the sentences that have a token, ascending."""
        return tuple(sorted(set(self.encoding.sentence_of_token) - {-1}))


@dataclass(frozen=True)
class ReportReader:
    """Reads reports for one text encoder.

    Attributes:
        tokenizer: of the text encoder.
        max_tokens: limit of a text, special tokens included. What follows the last whole sentence that fits is cut, or,
            by the published rule, what follows the last token.
        sentence_rule, separator: as in `TextEncoderRecipe`.
    """

    tokenizer: Tokenizer
    max_tokens: int
    sentence_rule: Literal["simcrop", "published"] = "simcrop"
    separator: bool = True

    @classmethod
    def of(cls, tokenizer: Tokenizer, recipe: TextEncoderRecipe) -> Self:
        """The reader of the encoder that a recipe describes."""
        return cls(tokenizer, recipe.max_tokens, recipe.sentence_rule, recipe.separator)

    def findings(self, report: Report) -> Findings:
        """The findings of a report, in one text."""
        if self.sentence_rule == "simcrop":
            return self.read(sentences_of(report.findings))
        sentences, ids, ends = self._as_published(report.findings)
        kept = self._room(ids)
        # Not at the very limit, where the authors' code looks for a token behind.
        whole = [end for end in ends if end < self.max_tokens - 2]
        owners = [number for number, length in enumerate(_lengths(whole)) for _ in range(length)]
        owners = [*owners, *[-1] * (kept - len(owners))]
        num_cut = max(len(ends) - len(whole), int(kept < len(ids)))
        return Findings(tuple(sentences), self._encoding(ids[:kept], owners, num_cut))

    def sentences(self, findings: str) -> list[str]:
        """The sentences of findings, in order, those beyond the limit too."""
        return sentences_of(findings) if self.sentence_rule == "simcrop" else self._as_published(findings)[0]

    def whole(self, report: Report, findings: Findings) -> Encoding:
        """Findings and impression of a report, in one text; by the published rule it counts as one sentence."""
        if self.sentence_rule == "simcrop":
            return self.read([*findings.texts, *sentences_of(report.impression)]).encoding
        ids, _ = self.tokenizer.tokens(as_published(joined(report)))
        kept = self._room(ids)
        return self._encoding(ids[:kept], [0] * kept, int(kept < len(ids)))

    def read(self, sentences: Sequence[str]) -> Findings:
        """Sentences as they are given, in one text."""
        wording = sentences if self.sentence_rule == "simcrop" else [*map(as_published, sentences)]
        encoding = self.tokenizer.encode(wording, max_tokens=self.max_tokens, separator=self.separator)
        return Findings(tuple(sentences), encoding)

    def _as_published(self, findings: str) -> tuple[list[str], Sequence[int], list[int]]:
        """Sentences by the published rule; ids of all tokens; and those of them that end a sentence."""
        text = as_published(findings)
        ids, spans = self.tokenizer.tokens(text)
        ends = sentence_ends(text, spans)
        firsts = [0, *(end + 1 for end in ends)]
        pieces = [text[spans[first][0] : spans[end][1]] for first, end in zip(firsts, ends, strict=False)]
        return [" ".join(piece.split()) for piece in pieces], ids, ends

    def _room(self, ids: Sequence[int]) -> int:
        """Tokens that fit, special ones left out."""
        return min(len(ids), self.max_tokens - 1 - self.separator)

    def _encoding(self, ids: Sequence[int], owners: Sequence[int], num_cut: int) -> Encoding:
        end = (self.tokenizer.sep_id,) if self.separator else ()
        return Encoding((self.tokenizer.cls_id, *ids, *end), (-1, *owners, *(-1 for _ in end)), num_cut)


def _lengths(ends: Sequence[int]) -> list[int]:
    """Tokens of each sentence by the numbers of those that end them."""
    return [end - before for before, end in pairwise([-1, *ends])]
