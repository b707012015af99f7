"""The faithfulness tests of `simcrop eval grounding`: findings erased from volumes, sides swapped in sentences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int16
from torch import Tensor

from simcrop.adapters.evaluation.language.faithfulness_report import ErasedSentence, Faithfulness, SidedSentence
from simcrop.adapters.loading.resample import resample_volume
from simcrop.adapters.system.progress import counted
from simcrop.compose.evaluation.common import Stop
from simcrop.compose.evaluation.language_task import LanguageTask
from simcrop.core.data.augment import crop_centre
from simcrop.core.data.held_out import HeldOutStudies, Place, asserts_finding
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.faithfulness import (
    erasures,
    named_side,
    side_reading,
    spread_over_volumes,
    with_sides_swapped,
)
from simcrop.core.evaluation.grounding import comparable, patches_inside, similarity_maps
from simcrop.core.evaluation.sentences import ReadFindings, read_findings, read_within, sentence_scores
from simcrop.core.ports import Eraser
from simcrop.core.training.stopping import Stopped


@dataclass(frozen=True, eq=False)
class _Asserted:
    """The sentences of one study that assert a finding in a place that the model sees."""

    study: Study
    places: Sequence[Place]
    inside: Bool[Tensor, "S N"]
    features: Float[Tensor, "S E"]


def measure_faithfulness(
    task: LanguageTask, held_out: HeldOutStudies, eraser: Eraser | None, should_stop: Stop
) -> Faithfulness:
    """Measure what can be measured on these data.

    Args:
        task: the model.
        held_out: all studies of the test set.
        eraser: of the data set whose masks `held_out` has.
        should_stop: asked after every batch and every study.

    Raises:
        Stopped: `should_stop` said so.
    """
    asserted: list[_Asserted] = []
    warnings: tuple[str, ...] = ()
    if eraser is not None and task.config.grounding.erased_studies:
        asserted = list(_asserted(task, held_out))
        if asserted and (reason := _why_not_erased(task, eraser, asserted[0].study)):
            asserted, warnings = [], (f"no finding was erased: {reason}",)
    sided, spread = _over_volumes(task, held_out, asserted, should_stop)
    erased = [] if eraser is None else _erased(task, held_out, eraser, asserted, spread, should_stop)
    return Faithfulness(erased, sided, warnings)


def _asserted(task: LanguageTask, held_out: HeldOutStudies) -> Iterator[_Asserted]:
    """The first studies of which a finding can be erased."""
    left = task.config.grounding.erased_studies
    for study in held_out.studies:
        places = [
            *held_out.places(study, asserts_finding), *held_out.absent_from_report(study, asserts_finding)
        ]  # fmt: skip
        inside = [patches_inside(place.mask, task.model.recipe.matched_patch_size) for place in places]
        seen = [number for number, each in enumerate(inside) if bool(each.any())]
        if not seen or not left:
            continue
        left -= 1
        texts = held_out.findings(study).texts
        features = [read_within(task.model, held_out.reports, places[number].text, texts) for number in seen]
        kept = torch.stack([inside[number] for number in seen])
        yield _Asserted(study, [places[number] for number in seen], kept, torch.stack(features))


def _why_not_erased(task: LanguageTask, eraser: Eraser, study: Study) -> str | None:
    """Why the volumes cannot be made again as they are, tried on one; None where they can."""
    name = study.reconstructions[0]
    try:
        made = eraser.without(name, ())
    except DataError as error:
        return str(error)
    stored = task.data.source.read_volume(name)
    if torch.equal(made.voxels, stored.voxels) and torch.equal(made.affine, stored.affine):
        return None
    return f"{name} made again differs from its file, so that more than a finding would change"


def _over_volumes(
    task: LanguageTask, held_out: HeldOutStudies, asserted: Sequence[_Asserted], should_stop: Stop
) -> tuple[list[SidedSentence], Float[Tensor, "n"]]:
    """One pass over all volumes: (the sentences that name a side, the spread of the scores of all asserted ones)."""
    sided: list[SidedSentence] = []
    features = torch.cat([each.features for each in asserted]) if asserted else None
    scores: list[Tensor] = []
    batch_size, studies = task.config.evaluation.batch_size, held_out.studies
    with counted("studies read with sides swapped") as progress:
        for first in range(0, len(studies), batch_size):
            part = studies[first : first + batch_size]
            patches = task.patches(torch.stack([held_out.volume(study) for study in part]))
            for read, each in zip(read_findings(task.model, held_out, part), patches, strict=True):
                sided += _sided(task, held_out, read, each)
            scores += [] if features is None else [sentence_scores(task.model, features, patches).cpu()]
            progress(first + len(part), len(studies))
            _refuse_to_go_on(should_stop)
    return sided, spread_over_volumes(scores) if scores else torch.empty(0)


def _sided(
    task: LanguageTask, held_out: HeldOutStudies, read: ReadFindings, patches: Float[Tensor, "N E"]
) -> Iterator[SidedSentence]:
    """The sentences of one report that name one side, each compared with itself after a swap."""
    findings, among = read.findings, comparable(patches).cpu()
    first = {key: number for number, key in reversed(list(enumerate(findings.keys)))}
    for number in sorted(set(findings.numbers) & set(first.values())):
        text = findings.texts[number]
        side = named_side(text)
        if side is None:
            continue
        swapped = with_sides_swapped(text)
        texts = [*findings.texts[:number], swapped, *findings.texts[number + 1 :]]
        other = read_within(task.model, held_out.reports, swapped, texts)
        own_map, other_map = similarity_maps(torch.stack([read.of(number), other]), patches).cpu()
        reading = side_reading(side, own_map, other_map, among, task.model.recipe.matched_grid)
        if reading is not None:
            yield SidedSentence(read.study, text, reading)


def _erased(
    task: LanguageTask,
    held_out: HeldOutStudies,
    eraser: Eraser,
    asserted: Sequence[_Asserted],
    spread: Float[Tensor, "n"],
    should_stop: Stop,
) -> list[ErasedSentence]:
    found: list[ErasedSentence] = []
    with counted("studies with findings erased") as progress:
        for done, each in enumerate(asserted, 1):
            name = each.study.reconstructions[0]
            without = [_made(task, eraser, name, place.mask_names) for place in each.places]
            volumes = torch.stack([held_out.volume(each.study), *without])
            parts = [task.patches(part) for part in volumes.split(task.config.evaluation.batch_size)]
            scores = sentence_scores(task.model, each.features, torch.cat(parts)).cpu()
            own_spread = spread[len(found) : len(found) + len(each.places)]
            judged = erasures(scores[0], scores[1:].T, each.inside, own_spread)
            found += [
                ErasedSentence(each.study, place.text, str(place.finding), erasure)
                for place, erasure in zip(each.places, judged, strict=True)
            ]
            progress(done, len(asserted))
            _refuse_to_go_on(should_stop)
    return found


def _made(task: LanguageTask, eraser: Eraser, name: str, masks: Sequence[str]) -> Int16[Tensor, "1 H W D"]:
    """The volume without some findings, prepared as the file's is."""
    voxels, _ = resample_volume(eraser.without(name, masks), task.data.prepared.grid)
    return crop_centre(voxels, task.model.recipe.volume_size)[None]


def _refuse_to_go_on(should_stop: Stop) -> None:
    if should_stop():
        raise Stopped("nothing was kept")
