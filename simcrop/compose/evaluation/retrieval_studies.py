"""The studies that retrieval searches for and among, and which answer is right for which question."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from simcrop.core.data.cells import filled
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.evaluation.retrieval import first_of_each, same_reports
from simcrop.core.evaluation.settings import RetrievalSettings


@dataclass(frozen=True)
class Searched:
    """Studies to search for and among.

    Attributes:
        studies: in the order of the data.
        num_repeats: of the held-out ones, those that were left out since their findings are those of another one.
        notes: what the reader of the result must know.
    """

    studies: Sequence[Study]
    num_repeats: int
    notes: tuple[str, ...]


def searched(held_out: Sequence[Study], settings: RetrievalSettings) -> Searched:
    """The held-out studies, or those whose findings none before them has word for word.

    Args:
        held_out: in the order of the data. Those without findings stay; no report is searched for in them.
        settings: whether findings that repeat are left out.
    """
    if not settings.takes_distinct:
        return Searched(held_out, 0, ())
    texts = [filled(study.report.findings) or f"\0{study.study_id}" for study in held_out]
    kept = [held_out[index] for index in first_of_each(texts)]
    num_repeats = len(held_out) - len(kept)
    if not num_repeats:
        return Searched(kept, 0, ("no study repeats the findings of another one",))
    note = (
        f"{num_repeats} of {len(held_out)} held-out studies repeat the findings of another one word for word and were "
        "left out; of those with the same findings, the first in the order of the data stays"
    )
    return Searched(kept, num_repeats, (note,))


def right_answers(reports: Sequence[Sequence[int]], settings: RetrievalSettings) -> Bool[Tensor, "n n"]:
    """Which volume is right for which report: its own, and by the honest protocol those of reports that say the same.

    Args:
        reports: keys of the sentences of each.
        settings: the protocol.
    """
    if settings.protocol == "published":
        return torch.eye(len(reports), dtype=torch.bool)
    return same_reports(reports)


def left_out(num_with_findings: int, num_held_out: int) -> tuple[str, ...]:
    """What is said of studies without findings. Raises DataError where fewer than two have some."""
    if num_with_findings < 2:
        raise DataError(
            f"data: {num_with_findings} of {num_held_out} held-out studies have findings to search by, and it takes "
            "two; name data with reports, or raise data.validation_fraction"
        )
    without = num_held_out - num_with_findings
    return (f"{without} studies without findings were left out",) if without else ()
