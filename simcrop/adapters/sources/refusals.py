"""Which volumes of a data set a run leaves out, and when it stops instead."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from simcrop.adapters.problems.codes import Problem
from simcrop.adapters.problems.reports import has_report, repeats, unusable
from simcrop.adapters.problems.verdicts import Verdict, Verdicts, source_stamp
from simcrop.adapters.sources.protocol import CheckedSource
from simcrop.core.errors import DataError
from simcrop.core.split import split_by_patient
from simcrop.core.study import Study


class Refusals:
    """The volumes that cannot be used, with the reason of each.

    Args:
        source: the data set.
        cache: where verdicts are kept; what an earlier check or preparation called an error is refused from the start,
            and what a check found in training and in validation alike.
        max_bad_share: share of the volumes that may be left out.
    """

    def __init__(self, source: CheckedSource, cache: Path, *, max_bad_share: float) -> None:
        self._source, self._studies, self._allowed = source, source.studies(), max_bad_share
        self._names = {name for study in self._studies for name in study.reconstructions}
        self._verdicts = Verdicts(cache, source.identity)
        self._refused: dict[str, Problem] = {}
        # Files are looked up for the few bad ones alone: at 50,000 volumes that is felt.
        repeated = repeats(self._studies, self._verdicts.digests())
        leaked = {found.file: found for found in repeated if found.severity == "error"}
        for name, error in {**leaked, **self._verdicts.errors()}.items():
            if name in self._names and self._verdicts.get(name, source_stamp(source, name)) is not None:
                self._refused[name] = error

    def add_unreported(self) -> None:
        """Refuse studies whose report cannot be learned from. Raises DataError where there is no report at all."""
        if not any(map(has_report, self._studies)):
            raise DataError(
                "data.source: the data set has no reports, which the objectives report, alignment and "
                "late_interaction need; set their weights to 0, or take a source with reports"
            )
        for study in self._studies:
            for bad in unusable(study):
                self._refused.update(dict.fromkeys(study.reconstructions, bad))

    def add(self, found: Mapping[str, Problem]) -> None:
        """Refuse volumes whose file turned out bad, now and in later runs."""
        for name, problem in found.items():
            self._verdicts.add(name, Verdict(source_stamp(self._source, name), None, (problem,)))
        self._refused.update(found)

    def usable(self) -> list[Study]:
        """The studies that have a volume left, with those alone.

        Raises:
            DataError: more is refused than may be left out; names the first.
        """
        if len(self._refused) > self._allowed * len(self._names):
            more = f" ({self._count()})" if len(self._refused) > 1 else ""
            raise DataError(
                f"{self._first()}{more}; simcrop data check lists all; or name them in data.quarantine, or raise "
                "data.max_bad_share"
            )
        kept = [
            replace(study, reconstructions=tuple(name for name in study.reconstructions if name not in self._refused))
            for study in self._studies
        ]
        return [study for study in kept if study.reconstructions]

    def divided(self, held_out_fraction: float) -> tuple[list[Study], list[Study]]:
        """The usable studies as (training, held-out); see `split_by_patient`. Raises DataError as that and `usable`."""
        return split_by_patient(self.usable(), held_out_fraction, listed=self._studies)

    def summary(self) -> str | None:
        """What is left out, in words; None where nothing is."""
        return f"{self._count()} and are left out, among them {self._first()}" if self._refused else None

    def _count(self) -> str:
        return f"{len(self._refused)} of {len(self._names)} volumes cannot be used"

    def _first(self) -> str:
        return min(map(str, self._refused.values()))
