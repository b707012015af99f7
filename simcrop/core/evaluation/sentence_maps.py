"""Maps of the sentences whose true place is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.data.held_out import HeldOutStudies, Place
from simcrop.core.data.study import SentenceTruth, Study
from simcrop.core.evaluation.grounding import Pointing, comparable, patches_inside, point, similarity_maps
from simcrop.core.evaluation.sentences import read_findings, read_within
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ops import PatchSize


@dataclass(frozen=True, eq=False)
class PlacedSentence:
    """A sentence and its true place.

    Attributes:
        study: whose report holds the sentence.
        place: what it speaks of and where that is.
        feature: of the sentence, in the space that it shares with patches, on the model's device.
        is_reported: whether the report holds the sentence.
    """

    study: Study
    place: Place
    feature: Float[Tensor, "E"]
    is_reported: bool = True


@dataclass(frozen=True, eq=False)
class PlacedMap:
    """A sentence, its true place, and how similar each patch is to it.

    Attributes:
        study, place, is_reported: as in `PlacedSentence`.
        similarity: cosine of every patch, in patch order, on the CPU.
        among: patches that the sentence can choose.
    """

    study: Study
    place: Place
    similarity: Float[Tensor, "N"]
    among: Bool[Tensor, "N"]
    is_reported: bool = True

    def inside(self, patch_size: PatchSize) -> Bool[Tensor, "N"]:
        """Patches that overlap the place."""
        return patches_inside(self.place.mask, patch_size)

    def pointing(self, patch_size: PatchSize) -> Pointing | None:
        """Score of the map; None where the mask leaves nothing to measure."""
        return point(str(self.place.finding), self.similarity, self.inside(patch_size), self.among)


def placed_sentences(
    model: SimCroP,
    held_out: HeldOutStudies,
    studies: Sequence[Study],
    wanted: Callable[[SentenceTruth], bool],
    *,
    reported: bool = True,
) -> list[PlacedSentence]:
    """All wanted sentences of the reports that have a mask, encoded in the context of their findings, study by study.

    Args:
        model: trained with alignment, in eval mode.
        held_out: gives findings and places.
        studies: any.
        wanted: which sentences.
        reported: False takes those that the reports do not hold, each read in the middle of its report.
    """
    if not reported:
        return [each for study in studies for each in _absent(model, held_out, study, wanted)]
    places = {study.study_id: held_out.places(study, wanted) for study in studies}
    reports = read_findings(model, held_out, [study for study in studies if places[study.study_id]])
    return [
        PlacedSentence(read.study, place, read.of(place.sentence))
        for read in reports
        for place in places[read.study.study_id]
    ]


def _absent(
    model: SimCroP, held_out: HeldOutStudies, study: Study, wanted: Callable[[SentenceTruth], bool]
) -> Iterator[PlacedSentence]:
    for place in held_out.absent_from_report(study, wanted):
        feature = read_within(model, held_out.reports, place.text, held_out.findings(study).texts)
        yield PlacedSentence(study, place, feature, is_reported=False)


def maps_of(sentences: Sequence[PlacedSentence], patches: Float[Tensor, "N E"]) -> list[PlacedMap]:
    """The maps of sentences of one study.

    Args:
        sentences: any number.
        patches: features of every patch of its volume.
    """
    if not sentences:
        return []
    similarity = similarity_maps(torch.stack([each.feature for each in sentences]), patches).cpu()
    among = comparable(patches).cpu()
    return [
        PlacedMap(each.study, each.place, row, among, each.is_reported)
        for each, row in zip(sentences, similarity, strict=True)
    ]
