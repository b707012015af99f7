"""Reports as a model reads them: divided into sentences and encoded, once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from simcrop.core.data.batch import Encoding
from simcrop.core.data.study import Report
from simcrop.core.ports import Tokenizer
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
        max_tokens: limit of a text, special tokens included; what follows the last whole sentence that fits is cut.
    """

    tokenizer: Tokenizer
    max_tokens: int

    def findings(self, report: Report) -> Findings:
        """The findings of a report, in one text."""
        return self.read(sentences_of(report.findings))

    def whole(self, report: Report, findings: Findings) -> Encoding:
        """Findings and impression of a report, in one text."""
        return self.read([*findings.texts, *sentences_of(report.impression)]).encoding

    def read(self, sentences: Sequence[str]) -> Findings:
        """Sentences as they are given, in one text."""
        return Findings(tuple(sentences), self.tokenizer.encode(sentences, max_tokens=self.max_tokens))
