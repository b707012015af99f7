"""Retrieval by features that any model has made: a row for each volume, and one for each report."""

from pathlib import Path

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.evaluation.language.retrieval_report import RetrievalOutcome, retrieval_report
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.evaluation.common import data_for, finish
from simcrop.compose.evaluation.retrieval_studies import left_out, right_answers, searched
from simcrop.compose.evaluation.task_features import table_rows
from simcrop.core.data.held_out import in_hashed_order
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.reports.text import sentence_key, sentences_of


def retrieval_by_tables(config: RunConfig, checkpoint: str | None, out: Path) -> None:
    """Search by the cosines of `retrieval.features` and `retrieval.text_features`; reads no volume.

    Args:
        config: names the data and both tables.
        checkpoint: must be None, as no model is needed.
        out: folder of the result.

    Raises:
        ConfigError: a checkpoint is named too.
        DataError: a table cannot be read, lacks a study, or has rows of another length than the other.
    """
    features, text_features = config.retrieval.features, config.retrieval.text_features
    assert features is not None
    assert text_features is not None
    if checkpoint is not None:
        raise ConfigError(f"--checkpoint: the features of {features} are made already; name one of the two")
    config, data = data_for(config, config.model, reads_volumes=False)
    searching = searched(data.held_out, config.retrieval)
    keys = [
        (study, [*map(sentence_key, sentences_of(study.report.findings))])
        for study in in_hashed_order(searching.studies)
    ]
    studies = [study for study, own in keys if own]
    warnings = (*searching.notes, *left_out(len(studies), len(keys)))
    volumes, reports = (table_rows(read_table(path), path, studies) for path in (features, text_features))
    if volumes.shape[1] != reports.shape[1]:
        raise DataError(
            f"{features}: has {volumes.shape[1]} features a row, and {text_features} has {reports.shape[1]}; name "
            "features of volumes and of reports in one space"
        )
    made = f"the features are those of {features} and {text_features}; no model of simcrop made them"
    outcome = RetrievalOutcome(
        studies=studies,
        scores=_cosines(reports, volumes),
        same=right_answers([own for _, own in keys if own], config.retrieval),
        weights=None,
        num_repeats=searching.num_repeats,
        warnings=(*warnings, made),
    )
    result = retrieval_report(outcome, config.retrieval, config.evaluation, seed=config.seed)
    finish(out, result, config, data, {"path": None, "sha256": None})


def _cosines(reports: Float[Tensor, "n F"], volumes: Float[Tensor, "n F"]) -> Float[Tensor, "n n"]:
    """Row: report, column: volume. In double precision, as close rows are told apart by little."""
    return functional.normalize(reports.double(), dim=1) @ functional.normalize(volumes.double(), dim=1).T
