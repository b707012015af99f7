"""Looking told from reading: what a sentence's map owes to its volume, and what could be known without one.

Beside the map stand three that have not seen the volume: the usual place of the finding (`blind`), its usual place in
sentences that name the same place (`blind_reading`), and the sentence's mean map over training volumes (`no_look`). The
map minus the last is the evidence: what the model found by looking at this volume.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import nan

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import Study
from simcrop.core.evaluation.grounding import Pointing, comparable, point, usual_places
from simcrop.core.evaluation.metrics import auroc
from simcrop.core.evaluation.sentence_maps import PlacedMap, PlacedSentence, maps_of
from simcrop.core.evaluation.sentences import sentence_scores
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.reports.places import place_words

_MAPS = ("blind", "blind_reading", "no_look", "evidence")
NUMBERS = (
    "hit_rate",
    "chance",
    "auc",
    *(f"{number}_{name}" for name in _MAPS for number in ("hit_rate", "auc")),
    "own_above_others",
)
"""Names of what `looking_numbers` tells of a sentence."""


def mean_unit_patches(batches: Iterable[Float[Tensor, "B N E"]]) -> Float[Tensor, "N E"] | None:
    """Mean unit feature at each place of the grid, over the volumes in which the patch there can be chosen.

    A cosine is linear in the unit patch: the product with a unit sentence is the sentence's mean map over the volumes.

    Args:
        batches: features of every patch of volumes.

    Returns:
        On the CPU; zero where no volume has a patch that can be chosen. None without volumes.
    """
    total = count = None
    for patches in batches:
        # In float64, so that the order of the volumes makes no difference.
        unit = functional.normalize(patches.float(), dim=-1).sum(0, dtype=torch.float64)
        seen = comparable(patches).sum(0)
        total, count = (unit, seen) if total is None or count is None else (total + unit, count + seen)
    return None if total is None or count is None else (total / count.clamp_min(1)[:, None]).float().cpu()


@dataclass(frozen=True, eq=False)
class ComparedMap:
    """A sentence's map and the one without a look, both compared with the true place.

    Attributes:
        study: whose report holds the sentence.
        text: the sentence.
        pointing: of the map.
        no_look: of the sentence's mean map over training volumes; None without such volumes.
        evidence: of the map minus that; None likewise.
        inside: patches that overlap the true place.
        among: patches that the sentence can choose.
        own_above_others: `own_above_others` of the sentence.
    """

    study: Study
    text: str
    pointing: Pointing
    no_look: Pointing | None
    evidence: Pointing | None
    inside: Bool[Tensor, "N"]
    among: Bool[Tensor, "N"]
    own_above_others: float = nan


def own_above_others(scores: Float[Tensor, "V"], own: int, lacking: Bool[Tensor, "V"]) -> float:
    """How often a sentence's own volume scores above those without the finding, ties counting one half.

    Args:
        scores: of the sentence in each volume.
        own: which volume is its own.
        lacking: volumes whose study does not have the finding.

    Returns:
        Share of the others in [0, 1], chance one half; NaN where there are none.
    """
    is_own = torch.arange(len(scores)) == own
    compared = lacking | is_own
    return auroc(scores[compared], is_own[compared])


class Comparison:
    """Compares the maps of sentences with their places, one batch of volumes after another.

    Args:
        model: trained with alignment, in eval mode.
        held_out: knows what studies have and lack.
        sentences: of studies that will come.
        reference: from `mean_unit_patches`.
    """

    def __init__(
        self,
        model: SimCroP,
        held_out: HeldOutStudies,
        sentences: Sequence[PlacedSentence],
        reference: Float[Tensor, "N E"] | None,
    ) -> None:
        self._model, self._held_out, self._sentences, self._reference = model, held_out, sentences, reference
        self._numbers: dict[str, list[int]] = {}
        for number, each in enumerate(sentences):
            self._numbers.setdefault(each.study.study_id, []).append(number)
        self._findings = sorted({str(each.place.finding) for each in sentences})
        self._compared: dict[int, ComparedMap] = {}
        self._studies: list[Study] = []
        self._scores: list[Tensor] = []

    def add(self, studies: Sequence[Study], patches: Float[Tensor, "B N E"]) -> list[tuple[int, PlacedMap]]:
        """Compare the maps of studies, each of which comes once; those without sentences are there to score below.

        Returns:
            The maps that can be measured, with the number of their sentence.
        """
        if not self._sentences:
            return []
        self._studies += studies
        features = torch.stack([each.feature for each in self._sentences])
        self._scores.append(sentence_scores(self._model, features, patches).cpu())
        told: list[tuple[int, PlacedMap]] = []
        for study, own in zip(studies, patches, strict=True):
            numbers = self._numbers.get(study.study_id, [])
            for number, found in zip(numbers, maps_of([self._sentences[n] for n in numbers], own), strict=True):
                compared = self._compare(self._sentences[number], found)
                if compared is not None:
                    self._compared[number] = compared
                    told.append((number, found))
        return told

    def results(self) -> dict[int, ComparedMap]:
        """Number of a sentence -> its map, of those that can be measured, once all studies have come."""
        if not self._compared:
            return {}
        scores = torch.cat(self._scores)
        lacking = torch.stack([self._held_out.lacks(study, self._findings) for study in self._studies])
        rows = {study.study_id: row for row, study in enumerate(self._studies)}
        return {
            number: replace(
                each,
                own_above_others=own_above_others(
                    scores[:, number],
                    rows[each.study.study_id],
                    lacking[:, self._findings.index(each.pointing.finding)],
                ),
            )
            for number, each in sorted(self._compared.items())
        }

    def _compare(self, sentence: PlacedSentence, found: PlacedMap) -> ComparedMap | None:
        finding, inside = str(found.place.finding), found.inside(self._model.recipe.matched_patch_size)
        pointing = point(finding, found.similarity, inside, found.among)
        if pointing is None:
            return None
        no_look = evidence = None
        if self._reference is not None:
            usual = self._reference @ functional.normalize(sentence.feature.float().cpu(), dim=-1)
            maps = usual, found.similarity - usual
            no_look, evidence = (point(finding, each, inside, found.among) for each in maps)
        return ComparedMap(found.study, found.place.text, pointing, no_look, evidence, inside, found.among)


def looking_numbers(compared: Sequence[ComparedMap]) -> list[dict[str, float]]:
    """The `NUMBERS` of each sentence; NaN for what cannot be told.

    Args:
        compared: all sentences, since each is compared with those of other patients.
    """
    blind, reading = _usual(compared, reads=False), _usual(compared, reads=True)
    return [
        {
            "hit_rate": each.pointing.hit,
            "chance": each.pointing.chance,
            "auc": each.pointing.auc,
            **dict(_fits((without, read, each.no_look, each.evidence))),
            "own_above_others": each.own_above_others,
        }
        for each, without, read in zip(compared, blind, reading, strict=True)
    ]


def _fits(pointings: Sequence[Pointing | None]) -> Iterator[tuple[str, float]]:
    for name, found in zip(_MAPS, pointings, strict=True):
        yield f"hit_rate_{name}", nan if found is None else found.hit
        yield f"auc_{name}", nan if found is None else found.auc


def _usual(compared: Sequence[ComparedMap], *, reads: bool) -> list[Pointing | None]:
    """Score the usual place of each sentence's finding in the other patients."""
    fits: dict[int, Pointing | None] = {}
    for finding in {each.pointing.finding for each in compared}:
        rows = [row for row, each in enumerate(compared) if each.pointing.finding == finding]
        own = [compared[row] for row in rows]
        words = [place_words(each.text) for each in own] if reads else None
        maps = usual_places([each.study.patient_id for each in own], [each.inside for each in own], words)
        for row, each, usual in zip(rows, own, maps, strict=True):
            fits[row] = None if usual is None else point(finding, usual, each.inside, each.among)
    return [fits[row] for row in range(len(compared))]
