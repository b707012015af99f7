"""Studies packed into one array, of which forked workers copy nothing."""

import marshal
from array import array
from collections.abc import Sequence

from simcrop.core.data.study import Report, Study


class PackedStudies:
    """Studies in two arrays: a forked worker shares them, where touching Python objects would copy their pages.

    Args:
        studies: of which plain values are kept.
    """

    def __init__(self, studies: Sequence[Study]) -> None:
        self._ends, self._bytes = array("q"), bytearray()
        for study in studies:
            report, labels = study.report, dict(study.labels)
            ids = (study.study_id, study.patient_id)
            values = (*ids, report.findings, report.impression, study.reconstructions, study.split, labels)
            # Only this process and those that it starts see it; it never lies on a disk.
            self._bytes += marshal.dumps(values)
            self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> Study:
        first = self._ends[index - 1] if index else 0
        study_id, patient_id, findings, impression, *rest = marshal.loads(self._bytes[first : self._ends[index]])
        return Study(study_id, patient_id, Report(findings, impression), *rest)
