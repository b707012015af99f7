"""`simcrop eval grounding`: comparison of a model's maps with the places that sentences speak of."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.language.drawn_maps import choose_studies, panel_figure
from simcrop.adapters.evaluation.language.faithfulness_report import with_faithfulness
from simcrop.adapters.evaluation.language.grounding_report import THRESHOLDS, GroundedSentence, grounding_report
from simcrop.adapters.sources.truth_folders import WithTruthFolder
from simcrop.adapters.system.progress import counted
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.faithfulness import measure_faithfulness
from simcrop.compose.evaluation.grounding_page import write_grounding_page
from simcrop.compose.evaluation.language_task import LanguageTask, begin_language
from simcrop.core.data.held_out import HeldOutStudies, asserts_finding
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.grounding import Pointing
from simcrop.core.evaluation.looking import Comparison, mean_unit_patches
from simcrop.core.evaluation.map_overlap import Overlap, overlap, voxel_map
from simcrop.core.evaluation.sentence_maps import PlacedMap, PlacedSentence, maps_of, placed_sentences
from simcrop.core.training.stopping import Stopped

_RULE = "by the share of sentences that hit, then by the area under the curve"


@command
def grounding(config: RunConfig, checkpoint: str, out: Path, should_stop: Stop) -> None:
    """Compare the maps of the held-out reports' sentences with the masks of what they assert; all of it at once."""
    task = begin_language(config, checkpoint)
    folder = config.grounding.folder
    source = None if folder is None else WithTruthFolder(task.data.source, folder.expanduser())
    held_out = task.reader(task.data.held_out, source)
    if not any(asserts_finding(truth) for study in held_out.studies for truth in held_out.truths(study)):
        raise DataError(
            f"data: none of the {len(held_out.studies)} held-out studies has a mask of a finding that its report "
            "asserts; put ground_truth/ beside the data, or name its folder by grounding.folder (docs/ground_truth.md)"
        )
    sentences, num_untold = _measure(task, held_out, should_stop)
    if not sentences:
        raise DataError(
            f"data: the masks of all {num_untold} sentences lie outside of what the model sees, or fill it; see "
            "whether they lie on the volumes"
        )
    maps = _chosen(task, held_out, sentences)
    figures = _pictures(task, held_out, maps, len({each.study.study_id for each in sentences}))
    report = grounding_report(
        sentences,
        config.evaluation,
        seed=config.seed,
        figures=figures,
        warnings=list(_warnings(sentences, num_untold)),
    )
    # The names of masks from elsewhere tell the data set nothing.
    eraser = task.data.source.eraser if source is None else None
    found = measure_faithfulness(task, held_out, eraser, should_stop)
    write_grounding_page(out, task, source or task.data.source, maps, figures)
    task.finish(out, with_faithfulness(report, found, config.evaluation, seed=config.seed))


def _measure(task: LanguageTask, held_out: HeldOutStudies, should_stop: Stop) -> tuple[list[GroundedSentence], int]:
    """(the sentences that could be measured, how many masks told nothing)."""
    sentences = _sentences(task, held_out, held_out.studies)
    comparison = Comparison(task.model, held_out, sentences, _reference(task, should_stop))
    overlaps: dict[int, Overlap] = {}
    for studies, patches in _patches(task, held_out, held_out.studies, "studies grounded", should_stop):
        overlaps |= {number: _overlap(task, found) for number, found in comparison.add(studies, patches)}
    grounded = [
        GroundedSentence(compared, overlaps[number], sentences[number].is_reported)
        for number, compared in comparison.results().items()
    ]
    return grounded, len(sentences) - len(grounded)


def _sentences(task: LanguageTask, held_out: HeldOutStudies, studies: Sequence[Study]) -> list[PlacedSentence]:
    """Those of each study together, the reported ones first."""
    arguments = (task.model, held_out, studies, asserts_finding)
    everything = [*placed_sentences(*arguments), *placed_sentences(*arguments, reported=False)]
    order = {study.study_id: number for number, study in enumerate(studies)}
    return sorted(everything, key=lambda each: order[each.study.study_id])


def _reference(task: LanguageTask, should_stop: Stop) -> Float[Tensor, "N E"] | None:
    """Mean patches of training volumes, for maps without a look."""
    training = task.reader(task.data.train)
    studies = training.studies[: task.config.grounding.reference_studies]
    batches = _patches(task, training, studies, "training volumes encoded", should_stop)
    return mean_unit_patches(patches for _, patches in batches)


def _patches(
    task: LanguageTask, reader: HeldOutStudies, studies: Sequence[Study], what: str, should_stop: Stop
) -> Iterator[tuple[Sequence[Study], Float[Tensor, "B N E"]]]:
    """Studies and the features of their patches, a batch at a time."""
    done = 0
    with counted(what) as progress:
        for part, volumes in reader.batches(studies, task.config.evaluation.batch_size):
            yield part, task.patches(volumes)
            done += len(part)
            progress(done, len(studies))
            if should_stop():
                raise Stopped("nothing was kept")


def _overlap(task: LanguageTask, found: PlacedMap) -> Overlap:
    recipe, device = task.model.recipe, task.model.encoder.cls_token.device
    voxels = voxel_map(found.similarity.to(device), recipe.matched_grid, recipe.matched_patch_size)
    return overlap(voxels, found.place.mask.to(device), THRESHOLDS)


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


def _chosen(
    task: LanguageTask, held_out: HeldOutStudies, sentences: Sequence[GroundedSentence]
) -> dict[str, list[PlacedMap]]:
    """Name of a picture -> the maps of its study."""
    pointings: dict[str, list[Pointing]] = {}
    for each in sentences:
        pointings.setdefault(each.study.study_id, []).append(each.pointing)
    studies = {each.study.study_id: each.study for each in sentences}
    found: dict[str, list[PlacedMap]] = {}
    for name, study_id in choose_studies(pointings, task.config.grounding.pictures).items():
        study = studies[study_id]
        found[name] = maps_of(_sentences(task, held_out, [study]), task.patches(held_out.volume(study)[None])[0])
    return found


def _pictures(
    task: LanguageTask, held_out: HeldOutStudies, chosen: Mapping[str, Sequence[PlacedMap]], num_studies: int
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for name, maps in chosen.items():
        kind, _, number = name.partition("_")
        study = maps[0].study
        title = f"{study.study_id}: number {number} of the {kind} of {num_studies} studies, {_RULE}"
        volume = held_out.volume(study)[0].float().numpy()
        figures[name] = panel_figure(volume, maps, task.model.recipe, title=title)
    return figures
