"""Prompts as a model reads them: sentences of their own, or sentences of training reports in their context."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.evaluation.sentences import read_alone, read_findings
from simcrop.core.evaluation.zeroshot import Prompts
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.randomness import derive_seed
from simcrop.core.reports.prompts import FindingWords, Prompt, PromptTexts, denies, speaks_of, templates
from simcrop.core.reports.reader import Findings, ReportReader

_MOST_REPORTS = 2048
"""Training reports that are searched, an arbitrary part of more: rare findings are still found dozens of times."""

Spot = tuple[int, int]
"""(study, sentence of its findings)."""


@dataclass(frozen=True, eq=False)
class ReadPrompts:
    """The prompts of one finding.

    Attributes:
        features: of its sentences.
        texts: the sentences.
        from_reports: they were read in training reports; else each is a text of its own.
    """

    features: Prompts
    texts: PromptTexts
    from_reports: bool


def read_texts(model: SimCroP, reports: ReportReader, texts: PromptTexts) -> ReadPrompts:
    """Prompts each of which is a text of its own."""
    present, absent = (read_alone(model, reports, side) for side in (texts.present, texts.absent))
    return ReadPrompts(Prompts(present, absent), texts, from_reports=False)


class PromptReader:
    """Reads prompts with one model.

    Args:
        model: trained with alignment, in eval mode.
        reports: reads training reports; without any, built-in sentences stand in for theirs.
        limit: sentences of either kind for a finding that are taken from reports, at most.
    """

    def __init__(self, model: SimCroP, reports: HeldOutStudies, *, limit: int) -> None:
        self._model, self._reports, self._limit = model, reports, limit
        self._studies = reports.studies[:_MOST_REPORTS]

    @cached_property
    def _findings(self) -> list[Findings]:
        return [self._reports.findings(study) for study in self._studies]

    def read(self, prompts: Mapping[str, Prompt]) -> dict[str, ReadPrompts]:
        """The features of all prompts, by finding. A finding that no report asserts takes the built-in sentences."""
        spots = {finding: self._spots(finding, prompt) for finding, prompt in prompts.items()}
        features = self._features([spot for sides in spots.values() for side in sides or () for spot in side])
        read: dict[str, ReadPrompts] = {}
        for finding, sides in spots.items():
            if sides is None:
                prompt = prompts[finding]
                texts = prompt if isinstance(prompt, PromptTexts) else templates(finding)
                read[finding] = read_texts(self._model, self._reports.reports, texts)
                continue
            present, absent = (torch.stack([features[spot] for spot in side]) for side in sides)
            texts = PromptTexts(*(tuple(self._text(spot) for spot in side) for side in sides))
            read[finding] = ReadPrompts(Prompts(present, absent), texts, from_reports=True)
        return read

    def _spots(self, finding: str, prompt: Prompt) -> tuple[list[Spot], list[Spot]] | None:
        """Sentences that assert a finding and sentences that deny it, or, where none does, speak of other things."""
        if not isinstance(prompt, FindingWords):
            return None
        speaks = cache(speaks_of(prompt.terms))
        spoken = [spot for spot in self._all_spots() if speaks(self._text(spot))]
        present = self._some(finding, [spot for spot in spoken if not denies(self._text(spot))])
        absent = self._some(finding, [spot for spot in spoken if denies(self._text(spot))])
        if not absent:
            absent = self._some(finding, [spot for spot in self._all_spots() if not speaks(self._text(spot))])
        return (present, absent) if present and absent else None

    def _some(self, finding: str, spots: Sequence[Spot]) -> list[Spot]:
        """An arbitrary part that is always the same."""

        def order(spot: Spot) -> int:
            return derive_seed("prompt", finding, self._studies[spot[0]].study_id, spot[1])

        return sorted(spots, key=order)[: self._limit]

    def _all_spots(self) -> Iterator[Spot]:
        """Every sentence that the model reads."""
        for number, findings in enumerate(self._findings):
            yield from ((number, sentence) for sentence in findings.numbers)

    def _text(self, spot: Spot) -> str:
        return self._findings[spot[0]].texts[spot[1]]

    def _features(self, spots: Sequence[Spot]) -> dict[Spot, torch.Tensor]:
        numbers = sorted({study for study, _ in spots})
        studies: list[Study] = [self._studies[number] for number in numbers]
        wanted = set(spots)
        return {
            (number, sentence): read.of(sentence)
            for number, read in zip(numbers, read_findings(self._model, self._reports, studies), strict=True)
            for sentence in read.findings.numbers
            if (number, sentence) in wanted
        }
