"""`simcrop eval retrieval`: finding the volume of a report among others, and the report of a volume."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.language.retrieval_report import RetrievalOutcome, retrieval_report
from simcrop.compose.evaluation.common import Stop, command
from simcrop.compose.evaluation.language_task import LanguageTask, begin_language
from simcrop.compose.evaluation.retrieval_by_tables import retrieval_by_tables
from simcrop.compose.evaluation.retrieval_studies import left_out, right_answers, searched
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.retrieval import rarity, report_scores
from simcrop.core.evaluation.sentences import ReadFindings, read_findings, sentence_scores
from simcrop.core.reports.reader import ReportReader
from simcrop.core.reports.text import sentence_key


@command
def retrieval(config: RunConfig, checkpoint: str | None, out: Path, should_stop: Stop) -> None:
    """Search for the volumes of the held-out reports, and for the reports of the volumes."""
    if config.retrieval.features is not None:
        retrieval_by_tables(config, checkpoint, out)
        return
    if checkpoint is None:
        raise ConfigError(
            "--checkpoint: is missing; name a model, or by --features and --text-features what another has made"
        )
    task = begin_language(config, checkpoint)
    searching = searched(task.data.held_out, config.retrieval)
    held_out = task.reader(searching.studies)
    everything = list(read_findings(task.model, held_out, held_out.studies))
    reports = [read for read in everything if read.findings.numbers]
    warnings = (*searching.notes, *left_out(len(reports), len(everything)))
    outcome = RetrievalOutcome(
        studies=[read.study for read in reports],
        scores=_scores(task, reports, should_stop),
        same=right_answers([read.findings.keys for read in reports], config.retrieval),
        weights=config.retrieval.weights,
        num_repeats=searching.num_repeats,
        warnings=warnings,
    )
    task.finish(out, retrieval_report(outcome, config.retrieval, config.evaluation, seed=config.seed))


def _scores(task: LanguageTask, reports: Sequence[ReadFindings], stop: Stop) -> Float[Tensor, "R V"]:
    """Score of every report in every volume."""
    features = torch.cat([read.features for read in reports])
    compute = partial(sentence_scores, task.model, features)
    digest = hashlib.sha256(features.cpu().contiguous().numpy().tobytes()).hexdigest()
    names = [read.study.reconstructions[0] for read in reports]
    scores = task.volume_scores(names, compute, ["retrieval", digest], stop).T
    report_of_sentence = torch.tensor([row for row, read in enumerate(reports) for _ in read.findings.numbers])
    return report_scores(scores, report_of_sentence, _weights(task, reports))


def _weights(task: LanguageTask, reports: Sequence[ReadFindings]) -> Float[Tensor, "S"]:
    """Weight of every sentence that was read."""
    keys = [read.findings.keys[number] for read in reports for number in read.findings.numbers]
    if task.config.retrieval.weights == "equal":
        return torch.ones(len(keys))
    sentences = ReportReader.of(task.tokenizer, task.model.text_recipe).sentences
    weight = rarity([[*map(sentence_key, sentences(study.report.findings))] for study in task.data.train])
    return torch.tensor([weight(key) for key in keys])
