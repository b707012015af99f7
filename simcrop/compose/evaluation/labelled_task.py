"""Beginning and end of probe, nearest neighbours and fine-tuning: encoder, data, labels; predictions measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.classification.report import Outcome, classification_report
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation.common import Task, computing_device, data_for, starting_encoder
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.evaluation.classification import Predicted
from simcrop.core.evaluation.label_split import LabelSplit, draw_labelled
from simcrop.core.evaluation.labels import LabelColumns, LearnedFrom, label_columns, labelled_studies
from simcrop.core.model.encoder import VisionEncoder

UNTRAINED = "no --checkpoint: the encoder is untrained, as a run of this configuration would begin with"
BLIND_SELECTION = (
    "the selection patients have both classes of no label that was learned, so the smallest cross-entropy decided "
    "instead of the area under the curve; raise labels.percent"
)


@dataclass(frozen=True, eq=False)
class LabelledTask(Task):
    """One encoder, and studies with labels.

    Attributes:
        encoder: on the device that computes, in eval mode.
        columns: the labels.
        studies, truth: outside the test set, and what they have.
        split: which of these are looked at.
        test, test_truth: the test set.
        notes: what the reader of the result must know.
    """

    encoder: VisionEncoder
    columns: LabelColumns
    studies: Sequence[Study]
    truth: Bool[Tensor, "n C"]
    split: LabelSplit
    test: Sequence[Study]
    test_truth: Bool[Tensor, "m C"]
    notes: tuple[str, ...]

    @property
    def device(self) -> torch.device:
        """Device of the encoder."""
        return self.encoder.cls_token.device

    def some(self, indices: Sequence[int]) -> list[Study]:
        """Studies outside the test set."""
        return [self.studies[index] for index in indices]

    def learned_from(self, indices: Sequence[int]) -> LearnedFrom:
        """Counts of those studies and their labels."""
        return LearnedFrom.of(self.some(indices), self.truth[list(indices)])

    def require_measurable(self, learned_from: LearnedFrom) -> None:
        """Raise DataError where no label has both classes on either side, so that nothing could be measured."""
        if (learned_from.has_both & self.test_truth.any(0) & ~self.test_truth.all(0)).any():
            return
        names = self.columns.names
        subject = f"{names[0]} has not" if len(names) == 1 else f"none of the {len(names)} labels has"
        raise DataError(
            f"single-class split: {subject} both classes among the {learned_from.num_studies} studies learned from and "
            f"among the {len(self.test)} of the test set; raise labels.percent or data.validation_fraction, or name "
            "other labels by labels.names"
        )


def begin_task(
    config: RunConfig,
    checkpoint: str | None,
    *,
    draws: bool = True,
    as_published: bool = False,
    takes_table: bool = False,
) -> LabelledTask:
    """Load the encoder, prepare the data, and draw the patients.

    Args:
        config: names data and labels, and the model where there is no checkpoint.
        checkpoint: what `load_encoder` takes; None makes an untrained encoder of the configuration's model.
        draws: False leaves the studies outside the test set alone, as nothing is to be learned.
        as_published: whether drawn patients choose between settings, instead of being learned from, only where the
            authors' did.
        takes_table: whether features may come from a table, `labels.features`; then no volume is read.

    Raises:
        SimcropError: wrong checkpoint, data or labels.
    """
    table = config.labels.features
    if table is not None and not takes_table:
        raise ConfigError(
            "labels.features: eval probe and eval knn alone read a table, by the honest protocol; drop it"
        )
    if table is not None and checkpoint is not None:
        raise ConfigError(f"--checkpoint: the features of {table} are made already; name one of the two")
    encoder, about = starting_encoder(config, checkpoint, computing_device(config.train))
    encoder.eval()
    config, data = data_for(config, encoder.recipe, reads_volumes=table is None)
    settings = config.labels
    columns = label_columns(data.source, settings, config.data.source)
    studies, test = (
        labelled_studies(part, columns, skip=settings.skip_unlabelled) for part in (data.train, data.held_out)
    )
    left_out = len(data.train) + len(data.held_out) - len(studies) - len(test)
    split = LabelSplit((), ())
    selects = not as_published or data.source.published.selects_apart
    if draws:
        split = draw_labelled(
            [study.patient_id for study in studies],
            percent=settings.percent,
            selection_fraction=settings.selection_fraction if selects else None,
            seed=config.seed,
        )
    return LabelledTask(
        config=config,
        data=data,
        encoder=encoder,
        checkpoint={**about, "encoder_sha256": weights_sha256(encoder)},
        columns=columns,
        studies=studies,
        truth=columns.table(studies),
        split=split,
        test=test,
        test_truth=columns.table(test),
        notes=(f"{left_out} studies without a label were left out",) if left_out else (),
    )


def conclude(
    name: str,
    task: LabelledTask,
    scores: Float[Tensor, "m C"],
    *,
    learned_from: LearnedFrom,
    chosen: Mapping[str, Any],
    out: Path,
    thresholds: Sequence[float] = (),
) -> None:
    """Measure predictions of the test set, and write what an evaluation leaves behind.

    Args:
        name: of the command.
        task: that was done.
        scores: probabilities; any number for findings that were not learned.
        learned_from: what lies behind them.
        chosen: settings, and how well they told the selection patients.
        out: folder of the result.
        thresholds: of each finding, chosen by the selection patients; none where nobody chose any.
    """
    exclusive, learned = task.columns.exclusive, learned_from.has_both
    patients = [study.patient_id for study in task.test]
    scores = scores if exclusive else scores.where(learned, 0.5)
    outcome = Outcome(
        task=name,
        names=task.columns.names,
        studies=task.test,
        predicted=Predicted(scores, task.test_truth, patients, exclusive, learned),
        learned_from=learned_from,
        selection=task.some(task.split.select),
        chosen=chosen,
        warnings=task.notes,
        thresholds=thresholds,
    )
    config = task.config
    task.finish(out, classification_report(outcome, config.labels, config.evaluation, seed=config.seed))


def with_notes(task: LabelledTask, *notes: str) -> LabelledTask:
    """The task with more to tell."""
    return replace(task, notes=(*task.notes, *notes))


def refuse_published(config: RunConfig, what: str) -> None:
    """Raise ConfigError where the authors' recipe is asked for and there is none."""
    if config.labels.protocol == "published":
        raise ConfigError(f"labels.protocol: the authors published a linear probe and no {what}; write honest")
