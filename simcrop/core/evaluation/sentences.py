"""Features of sentences: of whole findings, as in training, or of single ones.

A text encoder that was trained on whole findings (`text_encoder.context: report`) makes something else of a sentence
that is a text of its own: in a trial on phantoms the maps of such sentences fit their masks no better than chance,
those of the same sentences among others almost as well as in their own report. Hence `read_within`; to a model that
reads sentences apart the company makes no difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.core.data.batch import padded
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.objectives.late_interaction import volume_scores
from simcrop.core.recipe import LateInteractionRecipe
from simcrop.core.reports.reader import Findings, ReportReader
from simcrop.core.reports.text import sentence_key

_TEXTS_AT_ONCE = 32
_SENTENCES_AT_ONCE = 4096
"""Sentences that are scored at a time: 45 MB of cosines with the 2744 patches of a ViT-B."""


@dataclass(frozen=True, eq=False)
class ReadFindings:
    """The sentences of one report's findings.

    Attributes:
        study: whose they are.
        findings: the sentences.
        features: of those that have tokens, in the space that they share with patches, on the model's device.
    """

    study: Study
    findings: Findings
    features: Float[Tensor, "S E"]

    def of(self, number: int) -> Float[Tensor, "E"]:
        """The features of a sentence that was read."""
        return self.features[self.findings.numbers.index(number)]


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
        for study, each, features in zip(part, findings, _features(model, held_out.reports, findings), strict=True):
            yield ReadFindings(study, each, features[list(each.numbers)].float())


@torch.no_grad()
def read_alone(model: SimCroP, reports: ReportReader, texts: Sequence[str]) -> Float[Tensor, "n E"]:
    """Sentences each of which is a text of its own.

    Args:
        model: trained with alignment, in eval mode.
        reports: reads texts for it.
        texts: at least one.
    """
    return torch.stack([_features(model, reports, [reports.read([text])])[0, 0].float() for text in texts])


@torch.no_grad()
def read_within(model: SimCroP, reports: ReportReader, sentence: str, others: Sequence[str]) -> Float[Tensor, "E"]:
    """A sentence among others: at its place where it is one of them, else in their middle.

    Args:
        model: trained with alignment, in eval mode.
        reports: reads texts for it; a single sentence beyond its limit is cut.
        sentence: to be read.
        others: sentences around it; from the last on they are left out where they do not fit.
    """
    texts, number = _placed_among(others, sentence)
    read = reports.read(texts)
    while read.encoding.num_cut and len(texts) > 1:
        others = [text for index, text in enumerate(texts) if index != number][:-1]
        texts, number = _placed_among(others, sentence)
        read = reports.read(texts)
    return _features(model, reports, [read])[0, number].float()


def scoring(model: SimCroP) -> LateInteractionRecipe:
    """How the model scores a sentence in a volume: as in late interaction, or by the patches that alignment chooses."""
    objectives = model.objectives
    if objectives.late_interaction.weight:
        return objectives.late_interaction
    return LateInteractionRecipe(pooling="best", top_k=objectives.alignment.top_k)


@torch.no_grad()
def sentence_scores(
    model: SimCroP, sentences: Float[Tensor, "S E"], patches: Float[Tensor, "B N E"]
) -> Float[Tensor, "B S"]:
    """Score of every sentence in every volume, from -1 to 1.

    Args:
        model: trained with alignment.
        sentences: features, on the model's device.
        patches: features of every patch of each volume.
    """
    score = partial(volume_scores, recipe=scoring(model), ops=model.ops)
    return torch.cat([score(part, patches)[0] for part in sentences[None].split(_SENTENCES_AT_ONCE, dim=1)], dim=1)


def _features(model: SimCroP, reports: ReportReader, findings: Sequence[Findings]) -> Float[Tensor, "B S E"]:
    """Features of texts; zeros where one has no such sentence."""
    tokens = padded([each.encoding for each in findings], reports.tokenizer.pad_id)
    most = max(1, *(len(each.texts) for each in findings))
    return model.sentence_features(tokens.to(model.encoder.cls_token.device), most)


def _placed_among(others: Sequence[str], sentence: str) -> tuple[list[str], int]:
    """The texts with the sentence among them, and its number."""
    keys, key = [*map(sentence_key, others)], sentence_key(sentence)
    if key in keys:
        return list(others), keys.index(key)
    middle = len(others) // 2
    return [*others[:middle], sentence, *others[middle:]], middle
