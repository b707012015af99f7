"""The labels of a data set as probes learn them: which columns, and a table of what each study has."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import torch
from jaxtyping import Bool
from torch import Tensor

from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.evaluation.settings import LabelSettings
from simcrop.core.ports import DataSet

_log = logging.getLogger("simcrop")


@dataclass(frozen=True)
class LabelColumns:
    """Labels that are to be told of a study.

    Attributes:
        names: of the labels, in order.
        exclusive: a study has exactly one of them.
        sources: name -> columns of the data set, any of which counts.
    """

    names: tuple[str, ...]
    exclusive: bool
    sources: Mapping[str, tuple[str, ...]]

    def lacking(self, study: Study) -> str | None:
        """The first label of which the study's data say nothing."""
        lacking = (name for name, columns in self.sources.items() if not all(c in study.labels for c in columns))
        return next(lacking, None)

    def table(self, studies: Sequence[Study]) -> Bool[Tensor, "n C"]:
        """Labels of the studies.

        Raises:
            DataError: of exclusive classes a study has none or several.
        """
        rows = [[any(study.labels[c] == 1 for c in self.sources[name]) for name in self.names] for study in studies]
        truth = torch.tensor(rows, dtype=torch.bool).reshape(len(studies), len(self.names))
        for study, count in zip(studies, truth.sum(1).tolist(), strict=True):
            if self.exclusive and count != 1:
                raise DataError(
                    f"{study.study_id}: has {count} of the classes {', '.join(self.names)}, not exactly one; correct "
                    "its labels, or set labels.task=multilabel"
                )
        return truth


@dataclass(frozen=True)
class LearnedFrom:
    """Counts of the studies that a head was learned from.

    Attributes:
        num_studies, num_patients: how many they are.
        num_positive: studies with each label.
    """

    num_studies: int
    num_patients: int
    num_positive: tuple[int, ...]

    @classmethod
    def of(cls, studies: Sequence[Study], truth: Bool[Tensor, "n C"]) -> "LearnedFrom":
        """Count studies and their labels."""
        patients = {study.patient_id for study in studies}
        return cls(len(studies), len(patients), tuple(truth.sum(0).tolist()))

    @property
    def has_both(self) -> Bool[Tensor, "C"]:
        """Labels that some of the studies have and some have not: nothing can be learned of the others."""
        return torch.tensor([0 < count < self.num_studies for count in self.num_positive])


def label_columns(data_set: DataSet, settings: LabelSettings, source: str) -> LabelColumns:
    """The labels that a configuration asks for.

    Args:
        data_set: has them; where its table is always the same, labels that join columns are those that are taken
            where none is named.
        settings: names and task.
        source: `data.source`, for messages.

    Raises:
        DataError: the data set has no labels, or a table that is always the same lacks a column of them.
        ConfigError: it lacks one that is named, or one class alone is to be told.
    """
    known, table = data_set.label_names, data_set.label_table
    if not known:
        raise DataError(
            f"data: {source} has no label column here; put its table of labels in place (docs/own-data.md), or name "
            "other data"
        )
    _refuse_missing(known, {name: table[name] for name in settings.names or table if name in table}, source)
    sources = {name: (name,) for name in known} | {n: columns for n, columns in table.items() if {*columns} <= {*known}}
    for name in settings.names:
        if name not in sources:
            raise ConfigError(f"labels.names: {_unknown(name, tuple(sources))}")
    joins = any(columns != (name,) for name, columns in table.items())
    names = settings.names or tuple(table if joins else known)
    exclusive = settings.task == "multiclass" or (settings.task == "auto" and data_set.has_exclusive_labels)
    if exclusive and len(names) < 2:
        raise ConfigError(f"labels.names: {', '.join(names)} alone is no choice between classes; name two or more")
    return LabelColumns(names, exclusive, {name: sources[name] for name in names})


def _refuse_missing(known: Sequence[str], wanted: Mapping[str, Sequence[str]], source: str) -> None:
    missing = {column: name for name, columns in wanted.items() for column in columns if column not in known}
    if not missing:
        return
    column, name = next(iter(missing.items()))
    label = "" if column == name else f" of the label {name!r}"
    raise DataError(
        f"data: the table of labels of {source} lacks the column {column!r}{label} (one of {len(missing)} such "
        "columns); put the whole table in place, or choose among the other labels by labels.names"
    )


def _unknown(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known[:20])}{', ...' * (len(known) > 20)}"
    return f"{name!r} is no label column of the data (nearly all cells of such a column say yes or no); {hint}"


def labelled_studies(studies: Sequence[Study], columns: LabelColumns, *, skip: bool) -> list[Study]:
    """The studies that have every label.

    Args:
        studies: all.
        columns: the labels.
        skip: leave out those that lack one, with a warning; else they are refused.

    Raises:
        DataError: a study lacks a label.
    """
    lacking = {study.study_id: name for study in studies if (name := columns.lacking(study)) is not None}
    if lacking and not skip:
        study_id, name = next(iter(lacking.items()))
        raise DataError(
            f"{study_id}: has no label {name!r} (one of {len(lacking)} such studies); add it to the table of labels, "
            "name other labels by labels.names, or leave such studies out by labels.skip_unlabelled=true"
        )
    if lacking:
        _log.warning("%d of %d studies lack a label and are left out", len(lacking), len(studies))
    return [study for study in studies if study.study_id not in lacking]
