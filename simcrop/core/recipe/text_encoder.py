"""The report encoder."""

from dataclasses import dataclass
from typing import Literal

from simcrop.core.recipe.section import MOST_BLOCKS, MOST_WIDTH, Section, require_divisible

MOST_WORDS = 1 << 20
"""Of a vocabulary; the largest that is published, of many languages, has a quarter of that."""
MOST_TOKENS = 1 << 16
"""Of a text."""


@dataclass(frozen=True)
class TextEncoderRecipe(Section):
    """The report encoder (docs/method.md, section 7)."""

    source: str = "scratch"
    """scratch, a hub id, or a folder with a BERT-type model and its tokenizer."""
    revision: str | None = None
    """Commit of the hub id; pin it."""
    frozen: bool | None = None
    """No gradient. Unset: frozen for a loaded encoder, trained for scratch."""
    context: Literal["sentence", "report"] | None = None
    """How a sentence is read for its place. sentence: by itself; report (paper): among all findings. Unset: sentence
    for scratch, report for a loaded encoder, which knows whole texts."""
    sentence_rule: Literal["simcrop", "published"] = "simcrop"
    """Where the sentences of a report end. simcrop: where a reader would end them; a long report is cut between two.
    published (paper): at full stops with no single digit beside, and a long report is cut wherever the limit is."""
    separator: bool = True
    """False (paper): a text begins with its class token, and has no separator token behind."""
    dropout_active: bool = False
    """True (paper): a frozen encoder keeps its dropout."""
    keep_findings: bool = True
    """Let a frozen encoder without dropout read all findings once, before training, and keep what it made of them."""
    max_tokens: int = 256
    """T, tokens of a report that are read."""
    hidden_size: int = 96
    """scratch only: width."""
    depth: int = 1
    """scratch only: layers; 0: word vectors, none of which knows of another word."""
    num_heads: int = 3
    """scratch only: attention heads."""
    vocab_size: int = 2048
    """scratch only: upper limit of the WordPiece vocabulary, learned from the training reports."""
    dropout: float = 0.0
    """scratch only: of its layers and attention."""

    def __post_init__(self) -> None:
        self._at_least(8, "max_tokens")
        require_divisible("hidden_size", self.hidden_size, "num_heads", self.num_heads)
        self._at_least(0, "depth")
        self._at_least(128, "vocab_size")
        self._at_most(MOST_WIDTH, "hidden_size")
        self._at_most(MOST_BLOCKS, "depth")
        self._at_most(MOST_WORDS, "vocab_size")
        self._at_most(MOST_TOKENS, "max_tokens")
        self._within("[0, 1)", "dropout")

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder's weights stay as they are."""
        return self.source != "scratch" if self.frozen is None else self.frozen

    @property
    def reads_sentences_apart(self) -> bool:
        """Whether each sentence of the findings is read by itself."""
        return self.source == "scratch" if self.context is None else self.context == "sentence"

    @property
    def reads_findings_once(self) -> bool:
        """Whether what the encoder makes of the findings never changes, and is to be kept."""
        return self.keep_findings and self.is_frozen and not self.dropout_active
