"""Which studies are learned from and which are held out."""

from collections.abc import Sequence

from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.randomness import derive_seed


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
