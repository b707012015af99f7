"""What a model makes of sentences: of whole findings, as in training, or of single ones.

A text encoder that was trained on whole findings (`text_encoder.context: report`) makes something else of a sentence
that is a text of its own: in a trial on phantoms the maps of such sentences fit their masks no better than chance,
those of the same sentences amid others almost as well as in their own report. Hence `read_within`; to a model that
reads sentences apart the company makes no difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.reports.text import sentence_key

_TEXTS_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class ReadFindings:
    """The sentences of one report's findings.

    Attributes:
        study: whose they are.
        texts: every sentence.
        numbers: of those that the model has read; the others lie beyond its limit of tokens.
        features: of these, in the space that they share with patches, on the model's device.
    """

    study: Study
    texts: Sequence[str]
    numbers: Sequence[int]
    features: Float[Tensor, "S E"]

    def of(self, number: int) -> Float[Tensor, "E"]:
        """The features of a sentence that was read."""
        return self.features[self.numbers.index(number)]


@torch.no_grad()
def read_findings(model: SimCroP, held_out: HeldOutStudies, studies: Sequence[Study]) -> Iterator[ReadFindings]:
    """Sentences in the context of their findings, study after study.

    Args:
        model: trained with alignment, in eval mode.
        held_out: gives the tokens of the findings.
        studies: any, not only of `held_out`; those without a sentence that can be read have no features.
    """
    for first in range(0, len(studies), _TEXTS_AT_ONCE):
        part = studies[first : first + _TEXTS_AT_ONCE]
        findings = [held_out.findings(study) for study in part]
        inputs = held_out.padded([encoding for _, encoding in findings])
        ids, mask, sentence_of_token = (tensor.to(model.encoder.cls_token.device) for tensor in inputs)
        most = max(1, *(len(texts) for texts, _ in findings)) if findings else 1
        features = model.sentence_features(ids, mask, sentence_of_token, most)
        for row, (study, (texts, encoding)) in enumerate(zip(part, findings, strict=True)):
            numbers = sorted({number for number in encoding.sentence_of_token if number >= 0})
            yield ReadFindings(study, texts, numbers, features[row, numbers].float())


@torch.no_grad()
def read_alone(model: SimCroP, tokenizer: Tokenizer, texts: Sequence[str], *, max_tokens: int) -> Float[Tensor, "n E"]:
    """Sentences each of which is a text of its own.

    Args:
        model: trained with alignment, in eval mode.
        tokenizer: the model's.
        texts: at least one.
        max_tokens: of a text.
    """
    device = model.encoder.cls_token.device
    rows: list[Tensor] = []
    for text in texts:
        encoding = tokenizer.encode([text], max_tokens=max_tokens)
        ids, owners = (torch.tensor([each], device=device) for each in (encoding.ids, encoding.sentence_of_token))
        rows.append(model.sentence_features(ids, torch.ones_like(ids, dtype=torch.bool), owners, 1)[0, 0].float())
    return torch.stack(rows)


@torch.no_grad()
def read_within(
    model: SimCroP, tokenizer: Tokenizer, sentence: str, findings: Sequence[str], *, max_tokens: int
) -> Float[Tensor, "E"]:
    """A sentence amid others: at its place where it is one of them, else in their middle.

    Args:
        model: trained with alignment, in eval mode.
        tokenizer: the model's.
        sentence: to be read.
        findings: sentences around it; from the last on they are left out where they do not fit.
        max_tokens: of a text; a single longer sentence is cut.
    """
    texts, number = _amid(sentence, findings)
    encoding = tokenizer.encode(texts, max_tokens=max_tokens)
    while encoding.num_cut and len(texts) > 1:
        findings = [text for index, text in enumerate(texts) if index != number][:-1]
        texts, number = _amid(sentence, findings)
        encoding = tokenizer.encode(texts, max_tokens=max_tokens)
    device = model.encoder.cls_token.device
    ids, owners = (torch.tensor([each], device=device) for each in (encoding.ids, encoding.sentence_of_token))
    features = model.sentence_features(ids, torch.ones_like(ids, dtype=torch.bool), owners, len(texts))
    return features[0, number].float()


def _amid(sentence: str, findings: Sequence[str]) -> tuple[list[str], int]:
    """The texts with the sentence among them, and its number."""
    keys = [sentence_key(text) for text in findings]
    if sentence_key(sentence) in keys:
        return list(findings), keys.index(sentence_key(sentence))
    middle = len(findings) // 2
    return [*findings[:middle], sentence, *findings[middle:]], middle
