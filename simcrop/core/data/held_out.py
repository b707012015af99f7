"""Held-out studies as evaluation and pictures read them: unmasked, cropped at the centre, with the true places."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from simcrop.core.data.augment import crop_centre
from simcrop.core.data.study import SentenceTruth, Study
from simcrop.core.ports import TruthSource, Volumes
from simcrop.core.randomness import derive_seed
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reports.reader import Findings, ReportReader
from simcrop.core.reports.text import sentence_key


@dataclass(frozen=True, eq=False)
class Place:
    """A sentence of a report and the place it speaks of.

    Attributes:
        sentence: index among the sentences of the findings.
        text, finding, present: as in `SentenceTruth`.
        read_mask: reads the mask, so that the places of a whole test set fit in memory.
        mask_names: the data set's names of the masks that it is the union of.
    """

    sentence: int
    text: str
    finding: str | None
    present: bool
    read_mask: Callable[[], Bool[Tensor, "H W D"]]
    mask_names: tuple[str, ...] = ()

    @property
    def mask(self) -> Bool[Tensor, "H W D"]:
        """True inside, on the grid of the model's volume; read anew every time."""
        return self.read_mask()


def asserts_finding(truth: SentenceTruth) -> bool:
    """Whether a sentence says that a finding is there, which is what grounding is measured on."""
    return truth.present and truth.finding is not None


def in_hashed_order(studies: Sequence[Study]) -> list[Study]:
    """Studies in the order of a hash of their patients, so that the first n are a random part."""
    return sorted(studies, key=lambda study: (derive_seed("held out", study.patient_id), study.study_id))


class HeldOutStudies:
    """Reads held-out studies.

    Args:
        studies: in any order; kept in that of `in_hashed_order`.
        volumes: of the studies, on the model's grid.
        source: their ground truth.
        reports: reads their reports, as in training.
        recipe: size and spacing of the model's volume.
    """

    def __init__(
        self,
        studies: Sequence[Study],
        *,
        volumes: Volumes,
        source: TruthSource,
        reports: ReportReader,
        recipe: ModelRecipe,
    ) -> None:
        self.studies = in_hashed_order(studies)
        self.label_names = source.label_names
        self.recipe, self.reports = recipe, reports
        self._volumes, self._source = volumes, source

    def volume(self, study: Study) -> Int[Tensor, "C H W D"]:
        """The centre of the study's first reconstruction, int16 HU."""
        return self._volumes.read_centre(study.reconstructions[0], self.recipe.volume_size)[None]

    def batches(
        self, studies: Sequence[Study], size: int
    ) -> Iterator[tuple[Sequence[Study], Int[Tensor, "B C H W D"]]]:
        """Studies with their volumes, `size` at a time."""
        for first in range(0, len(studies), size):
            part = studies[first : first + size]
            yield part, torch.stack([self.volume(study) for study in part])

    def lacks(self, study: Study, findings: Sequence[str]) -> Bool[Tensor, "F"]:
        """Tell which findings a study is known not to have.

        Its label decides; without one its sentences do, if none of those of known truth asserts the finding.
        """
        truths = self._source.ground_truth(study.reconstructions[0])
        asserted = {truth.finding for truth in truths if truth.present}
        unlabelled = [bool(truths) and finding not in asserted for finding in findings]
        told = [study.labels.get(finding) for finding in findings]
        pairs = zip(told, unlabelled, strict=True)
        return torch.tensor([without if label is None else label == 0 for label, without in pairs], dtype=torch.bool)

    def findings(self, study: Study) -> Findings:
        """The study's findings, all in one text as in training."""
        return self.reports.findings(study.report)

    def truths(self, study: Study) -> list[SentenceTruth]:
        """Truths about the sentences that have a mask; masks are not read yet."""
        return [truth for truth in self._source.ground_truth(study.reconstructions[0]) if truth.mask is not None]

    def places(self, study: Study, wanted: Callable[[SentenceTruth], bool]) -> list[Place]:
        """The wanted sentences that have a mask and tokens, in the order of the report.

        A sentence that the report repeats counts once, at its first occurrence: nobody can say which of the places it
        points at.
        """
        read = self._read(study)
        there = [(read[key], truths) for key, truths in self._wanted(study, wanted) if key in read]
        return [self._place(study, number, truths) for number, truths in sorted(there, key=lambda each: each[0])]

    def absent_from_report(self, study: Study, wanted: Callable[[SentenceTruth], bool]) -> list[Place]:
        """The wanted sentences with a mask that the model does not read in the findings: each a text of its own."""
        read = self._read(study)
        return [self._place(study, 0, truths) for key, truths in self._wanted(study, wanted) if key not in read]

    def _read(self, study: Study) -> dict[int, int]:
        """Key of a sentence that has tokens -> its first occurrence among the findings."""
        findings = self.findings(study)
        first = {key: index for index, key in reversed(list(enumerate(findings.keys)))}
        return {key: index for key, index in first.items() if index in findings.numbers}

    def _wanted(self, study: Study, wanted: Callable[[SentenceTruth], bool]) -> list[tuple[int, list[SentenceTruth]]]:
        """The wanted sentences that have a mask by their key, a text of two findings twice."""
        alike: dict[tuple[int, str | None], list[SentenceTruth]] = {}
        for truth in self.truths(study):
            if wanted(truth):
                alike.setdefault((sentence_key(truth.text), truth.finding), []).append(truth)
        return [(key, truths) for (key, _), truths in alike.items()]

    def _place(self, study: Study, sentence: int, truths: Sequence[SentenceTruth]) -> Place:
        """The union of the masks of sentences that are the same."""
        first = truths[0]
        names = tuple(truth.mask for truth in truths if truth.mask is not None)
        return Place(sentence, first.text, first.finding, first.present, partial(self._union, study, truths), names)

    def _union(self, study: Study, truths: Sequence[SentenceTruth]) -> Bool[Tensor, "H W D"]:
        return torch.stack([self._mask(study, truth) for truth in truths]).any(0)

    def _mask(self, study: Study, truth: SentenceTruth) -> Bool[Tensor, "H W D"]:
        assert truth.mask is not None
        mask = self._volumes.read_mask(study.reconstructions[0], truth.mask)
        return crop_centre(mask.to(torch.int16), self.recipe.volume_size) > 0  # air outside is below 0, so not inside
