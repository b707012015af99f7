"""Maps of the sentences whose true place is known."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.core.data.held_out import HeldOutStudies, Place
from simcrop.core.data.study import SentenceTruth, Study
from simcrop.core.evaluation.grounding import Pointing, comparable, patches_inside, point, similarity_maps
from simcrop.core.evaluation.sentences import ReadFindings, read_findings, read_within
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ops import PatchSize


@dataclass(frozen=True, eq=False)
class PlacedMap:
    """A sentence, its true place, and how similar each patch is to it.

    Attributes:
        study: whose report holds the sentence.
        place: what it speaks of and where that is.
        similarity: cosine of every patch, in patch order, on the CPU.
        among: patches that the sentence can choose.
        is_reported: whether the report holds the sentence.
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


def placed_maps(
    model: SimCroP,
    held_out: HeldOutStudies,
    studies: Sequence[Study],
    patches: Float[Tensor, "B N E"],
    wanted: Callable[[SentenceTruth], bool],
    *,
    reported: bool = True,
) -> list[PlacedMap]:
    """The maps of all wanted sentences of the reports that have a mask, encoded in the context of their findings.

    Args:
        model: trained with alignment, in eval mode.
        held_out: gives findings and places.
        studies: of a batch.
        patches: features of every patch of their volumes.
        wanted: which sentences.
        reported: False takes those that the reports do not hold, each read in the middle of its report.
    """
    if not reported:
        return [each for pair in zip(studies, patches, strict=True) for each in _absent(model, held_out, *pair, wanted)]
    places = [held_out.places(study, wanted) for study in studies]
    rows = [row for row, each in enumerate(places) if each]
    maps: list[PlacedMap] = []
    for row, read in zip(rows, read_findings(model, held_out, [studies[row] for row in rows]), strict=True):
        maps += maps_of(read, places[row], patches[row])
    return maps


def _absent(
    model: SimCroP, held_out: HeldOutStudies, study: Study, patches: Tensor, wanted: Callable[[SentenceTruth], bool]
) -> Iterator[PlacedMap]:
    among, texts = comparable(patches).cpu(), held_out.findings(study).texts
    for place in held_out.absent_from_report(study, wanted):
        sentence = read_within(model, held_out.reports, place.text, texts)
        yield PlacedMap(study, place, similarity_maps(sentence[None], patches)[0].cpu(), among, is_reported=False)


def maps_of(read: ReadFindings, places: Sequence[Place], patches: Float[Tensor, "N E"]) -> list[PlacedMap]:
    """The maps of sentences of one study.

    Args:
        read: its findings.
        places: the sentences.
        patches: features of every patch of its volume.
    """
    sentences = read.features[[read.findings.numbers.index(place.sentence) for place in places]]
    similarity, among = similarity_maps(sentences, patches).cpu(), comparable(patches).cpu()
    return [PlacedMap(read.study, place, each, among) for place, each in zip(places, similarity, strict=True)]
