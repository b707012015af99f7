"""`simcrop eval zeroshot`: findings that a model reads off a volume by sentences, with no label learned from."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.config.prompts import choose_prompts
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.language.zeroshot_report import ZeroShotOutcome, zeroshot_report
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.language_task import LanguageTask, begin_language
from simcrop.core.data.held_out import asserts_finding, in_hashed_order
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.classification import Predicted
from simcrop.core.evaluation.labels import LabelColumns, label_columns, labelled_studies
from simcrop.core.evaluation.prompt_features import PromptReader, ReadPrompts
from simcrop.core.evaluation.sentences import sentence_scores
from simcrop.core.evaluation.thresholds import youden_thresholds
from simcrop.core.evaluation.zeroshot import finding_scores


@command
def zeroshot(config: RunConfig, checkpoint: str, out: Path, should_stop: Stop) -> None:
    """Read the findings of `labels` off the held-out volumes by the prompts of the section `zeroshot`."""
    task = begin_language(config, checkpoint)
    columns = label_columns(task.data.source, config.labels, config.data.source)
    studies = labelled_studies(task.data.held_out, columns, skip=config.labels.skip_unlabelled)
    truth = columns.table(studies)
    if not (truth.any(0) & ~truth.all(0)).any():
        raise DataError(
            f"single-class split: none of the {len(columns.names)} labels has both classes among the {len(studies)} "
            "studies of the test set; raise data.validation_fraction, or name other labels by labels.names"
        )
    prompts, notes = _prompts(task, columns.names)
    asked = [prompts[name] for name in columns.names]
    scores = _scores(task, studies, asked, should_stop)
    learned = torch.ones(len(columns.names), dtype=torch.bool)
    present, absent = scores.double().unbind(2)
    patients = [study.patient_id for study in studies]
    predicted, asserted = (Predicted(each, truth, patients, False, learned) for each in (present - absent, present))
    thresholds, chosen_by = _thresholds(task, columns, asked, should_stop)
    held_out = task.reader(studies)
    truths = (truth for study in held_out.studies for truth in held_out.truths(study))
    placed = frozenset(str(truth.finding) for truth in truths if asserts_finding(truth)) & set(columns.names)
    if left_out := len(task.data.held_out) - len(studies):
        notes = (*notes, f"{left_out} studies without a label were left out")
    outcome = ZeroShotOutcome(
        columns.names, studies, predicted, asserted, prompts, placed, notes, thresholds, len(chosen_by)
    )
    task.finish(out, zeroshot_report(outcome, config.evaluation, seed=config.seed))


def _thresholds(
    task: LanguageTask, columns: LabelColumns, prompts: Sequence[ReadPrompts], should_stop: Stop
) -> tuple[Sequence[float], Sequence[Study]]:
    """From which score on a finding is called present, and the training studies that chose so; none without any.

    No study of the test set is looked at.
    """
    labelled = [study for study in in_hashed_order(task.data.train) if columns.lacking(study) is None]
    studies = labelled[: task.config.zeroshot.threshold_studies]
    if not studies:
        return (), ()
    present, absent = _scores(task, studies, prompts, should_stop).double().unbind(2)
    return youden_thresholds(present - absent, columns.table(studies)), studies


def _prompts(task: LanguageTask, names: Sequence[str]) -> tuple[Mapping[str, ReadPrompts], tuple[str, ...]]:
    """The prompts of every finding, and what a reader of the numbers must know of them."""
    settings = task.config.zeroshot
    source = task.data.source
    wanted = choose_prompts(settings.prompts, names, {*source.label_names, *source.label_table})
    reader = PromptReader(task.model, task.reader(task.data.train), limit=settings.sentences)
    prompts = reader.read(wanted)
    replaced = [name for name, read in prompts.items() if settings.prompts == "reports" and not read.from_reports]
    if not replaced:
        return prompts, ()
    which = "no finding" if len(replaced) == len(names) else f"not {', '.join(replaced)}"
    return prompts, (f"the training reports assert {which}; built-in sentences were used instead",)


def _scores(
    task: LanguageTask, studies: Sequence[Study], prompts: Sequence[ReadPrompts], should_stop: Stop
) -> Float[Tensor, "V F 2"]:
    features = [each.features for each in prompts]
    digest = hashlib.sha256()
    for side in (side for each in features for side in (each.present, each.absent)):
        digest.update(side.cpu().contiguous().numpy().tobytes() + b"|")
    score = partial(sentence_scores, task.model)

    def compute(patches: Tensor) -> Tensor:
        return finding_scores(features, patches, score).flatten(1)

    names = [study.reconstructions[0] for study in studies]
    scores = task.volume_scores(names, compute, ["zeroshot sides", digest.hexdigest()], should_stop)
    return scores.unflatten(1, (len(prompts), 2))
