"""`simcrop eval grounding`: comparison of a model's maps with the places that sentences speak of."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from matplotlib.figure import Figure

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.language.drawn_maps import choose_studies, panel_figure
from simcrop.adapters.evaluation.language.faithfulness_report import with_faithfulness
from simcrop.adapters.evaluation.language.grounding_report import THRESHOLDS, GroundedSentence, grounding_report
from simcrop.adapters.sources.truth_folders import WithTruthFolder
from simcrop.adapters.system.progress import counted
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.faithfulness import measure_faithfulness
from simcrop.compose.evaluation.language_task import LanguageTask, begin_language
from simcrop.core.data.held_out import HeldOutStudies, asserts_finding
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.map_overlap import overlap, voxel_map
from simcrop.core.evaluation.sentence_maps import PlacedMap, placed_maps
from simcrop.core.training.stopping import Stopped

_RULE = "by the share of sentences that hit, then by the area under the curve"


@command
def grounding(config: RunConfig, checkpoint: str, out: Path, should_stop: Stop) -> None:
    """Compare the maps of the held-out reports' sentences with the masks of what they assert; all of it at once."""
    task = begin_language(config, checkpoint)
    folder = config.grounding.folder
    source = None if folder is None else WithTruthFolder(task.data.source, folder.expanduser())
    held_out = task.reader(task.data.held_out, source)
    studies = [study for study in held_out.studies if any(asserts_finding(truth) for truth in held_out.truths(study))]
    if not studies:
        raise DataError(
            f"data: none of the {len(held_out.studies)} held-out studies has a mask of a finding that its report "
            "asserts; put ground_truth/ beside the data, or name its folder by grounding.folder (docs/ground_truth.md)"
        )
    sentences, num_untold = _measure(task, held_out, studies, should_stop)
    if not sentences:
        raise DataError(
            f"data: the masks of all {num_untold} sentences lie outside of what the model sees, or fill it; see "
            "whether they lie on the volumes"
        )
    report = grounding_report(
        sentences,
        config.evaluation,
        seed=config.seed,
        figures=_pictures(task, held_out, sentences),
        warnings=list(_warnings(sentences, num_untold)),
    )
    # The names of masks from elsewhere tell the data set nothing.
    eraser = task.data.source.eraser if source is None else None
    found = measure_faithfulness(task, held_out, eraser, should_stop)
    task.finish(out, with_faithfulness(report, found, config.evaluation, seed=config.seed))


def _measure(
    task: LanguageTask, held_out: HeldOutStudies, studies: Sequence[Study], should_stop: Stop
) -> tuple[list[GroundedSentence], int]:
    """(the sentences that could be measured, how many masks told nothing)."""
    sentences: list[GroundedSentence] = []
    num_untold = 0
    batch_size = task.config.evaluation.batch_size
    with counted("studies grounded") as progress:
        for first in range(0, len(studies), batch_size):
            part = studies[first : first + batch_size]
            for each in _maps(task, held_out, part):
                grounded = _grounded(task, each)
                num_untold += grounded is None
                sentences += [] if grounded is None else [grounded]
            progress(first + len(part), len(studies))
            if should_stop():
                raise Stopped("nothing was kept")
    return sentences, num_untold


def _maps(task: LanguageTask, held_out: HeldOutStudies, studies: Sequence[Study]) -> list[PlacedMap]:
    patches = task.patches(torch.stack([held_out.volume(study) for study in studies]))
    arguments = (task.model, held_out, studies, patches, asserts_finding)
    return [*placed_maps(*arguments), *placed_maps(*arguments, reported=False)]


def _grounded(task: LanguageTask, each: PlacedMap) -> GroundedSentence | None:
    recipe = task.model.recipe
    pointing = each.pointing(recipe.patch_size)
    if pointing is None:
        return None
    device = task.model.encoder.cls_token.device
    voxels = voxel_map(each.similarity.to(device), recipe.grid, recipe.patch_size)
    covered = overlap(voxels, each.place.mask.to(device), THRESHOLDS)
    inside = each.inside(recipe.patch_size)
    return GroundedSentence(each.study, each.place.text, pointing, inside, each.among, covered, each.is_reported)


def _warnings(sentences: Sequence[GroundedSentence], num_untold: int) -> Iterator[str]:
    if num_untold:
        yield (
            f"{num_untold} sentences were left out: no patch or every patch that the model sees and takes for "
            "tissue overlaps their mask"
        )
    if count := sum(not each.is_reported for each in sentences):
        yield (
            f"{count} sentences are not in their report word for word, or beyond what the model reads of it, and were "
            "read in the middle of it"
        )


def _pictures(task: LanguageTask, held_out: HeldOutStudies, sentences: Sequence[GroundedSentence]) -> dict[str, Figure]:
    pointings: dict[str, list[Pointing]] = {}
    for each in sentences:
        pointings.setdefault(each.study.study_id, []).append(each.pointing)
    studies = {each.study.study_id: each.study for each in sentences}
    figures: dict[str, Figure] = {}
    for name, study_id in choose_studies(pointings, task.config.grounding.pictures).items():
        kind, _, number = name.partition("_")
        title = f"{study_id}: number {number} of the {kind} of {len(studies)} studies, {_RULE}"
        volume = held_out.volume(studies[study_id])[0].float().numpy()
        maps = _maps(task, held_out, [studies[study_id]])
        figures[name] = panel_figure(volume, maps, task.model.recipe, title=title)
    return figures
