"""Which volumes of a data set a run leaves out, and when it stops instead."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from simcrop.core.data.problems import Problem
from simcrop.core.data.split import split_by_patient
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.reports.checks import has_report, unusable


class Refusals:
    """The volumes that cannot be used, with the reason of each.

    Args:
        studies: of the data set.
        known: volume -> what is already known to be wrong with it.
        max_bad_share: share of the volumes that may be left out.
    """

    def __init__(self, studies: Sequence[Study], known: Mapping[str, Problem], *, max_bad_share: float) -> None:
        self._studies, self._allowed = studies, max_bad_share
        self._names = {name for study in studies for name in study.reconstructions}
        self._refused = {name: error for name, error in known.items() if name in self._names}

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
        """Refuse volumes whose file turned out bad."""
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
