"""Choose the studies of a run: which are left out, when it stops instead, and which are held out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.randomness import derive_seed
from simcrop.core.reports.checks import has_report, unusable


def split_by_patient(
    studies: Sequence[Study], held_out_fraction: float, *, listed: Sequence[Study] | None = None
) -> tuple[list[Study], list[Study]]:
    """Divide studies into training and held-out ones; no patient has studies in both.

    Args:
        studies: each with the source's own split, or none.
        held_out_fraction: share of those listed patients whose split the source leaves open, rounded to whole patients;
            which ones depends on their names alone.
        listed: all studies of the source where `studies` are some of them: a patient must not change sides because
            another's scan turned out bad, or has no report and is used by one command and not by the next.

    Returns:
        (training, held-out), each in the order given.

    Raises:
        DataError: a patient is in both splits of the source.
    """
    open_patients = sorted(
        {study.patient_id for study in (studies if listed is None else listed) if study.split is None},
        key=lambda patient: (derive_seed("split", patient), patient),
    )
    drawn = set(open_patients[: round(held_out_fraction * len(open_patients))])
    held_out = [s for s in studies if s.split == "validation" or (s.split is None and s.patient_id in drawn)]
    chosen = {study.study_id for study in held_out}
    train = [study for study in studies if study.study_id not in chosen]
    shared = {study.patient_id for study in train} & {study.patient_id for study in held_out}
    if shared:
        raise DataError(
            f"patient {min(shared)}: has studies in the training and in the held-out part (one of {len(shared)} such "
            f"patients); correct the column split, or leave it out to split by patient"
        )
    return train, held_out


def nothing_held_out(studies: Sequence[Study], held_out_fraction: float) -> str:
    """Say that none of the studies is held out, and why.

    Args:
        studies: all of them are trained on.
        held_out_fraction: the share of patients that was to be held out.
    """
    patients = sorted({study.patient_id for study in studies if study.split is None})
    if not patients:
        cause = "the data put all of them into the split train"
    elif len(patients) == 1:
        cause = f"all are of one patient, {patients[0]!r}"
    elif round(held_out_fraction * len(patients)):
        cause = "what was to be held out cannot be used"
    else:
        cause = f"data.validation_fraction={held_out_fraction:g} of {len(patients)} patients is none"
    return f"no study is held out of {len(studies)}, so that nothing will tell how good the model is: {cause}"


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
        return [study for study in map(self._without_refused, self._studies) if study.reconstructions]

    def divided(self, held_out_fraction: float) -> tuple[list[Study], list[Study]]:
        """The usable studies as (training, held-out); see `split_by_patient`. Raises DataError as that and `usable`."""
        return split_by_patient(self.usable(), held_out_fraction, listed=self._studies)

    def summary(self) -> str | None:
        """Say what is left out; None where nothing is."""
        return f"{self._count()} and are left out, among them {self._first()}" if self._refused else None

    def _without_refused(self, study: Study) -> Study:
        """The study itself where all of it is usable: of a million studies a copy is felt."""
        if self._refused.keys().isdisjoint(study.reconstructions):
            return study
        return replace(
            study, reconstructions=tuple(name for name in study.reconstructions if name not in self._refused)
        )

    def _count(self) -> str:
        return f"{len(self._refused)} of {len(self._names)} volumes cannot be used"

    def _first(self) -> str:
        return min(map(str, self._refused.values()))
