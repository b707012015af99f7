"""CC-CCII as it is downloaded: chest CT for the diagnosis of COVID-19, as folders of 8-bit pictures, no reports."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self, Unpack

import numpy as np

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.picture_slices import opened_slices
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.problems.content import Scaling
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.base import Options, Source, options, study_of
from simcrop.core.data.problems import OnProblem
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.published import CC_CCII


class CCCCIISource(Source):
    """Scans `CLASS/PATIENT/SCAN/*.png` (or .jpg), like NCP/12/1234/0007.png; each folder of the first level is a label.

    Pictures are 8-bit grey values through a window that nobody wrote down, and neither are spacings: HU and mm are
    what the arguments say, so distances and densities hold roughly at best. Slices are taken to be numbered from head
    to feet and to show the patient as radiologists look at them: rows from front to back, columns from the patient's
    right to the left. Nothing in the files says so.

    A patient's scans stay on one side of a split, also where two classes use the same patient number.
    """

    kind = "cc_ccii"
    declares_padding = False
    has_exclusive_labels = True
    published = CC_CCII

    def __init__(
        self,
        root: Path,
        *,
        slope: float,
        intercept: float,
        spacing_mm: tuple[float, float, float],
        **declared: Unpack[Options],
    ) -> None:
        """
        Args:
            root: the folder with the classes.
            slope: HU between two grey values; a lung window of 1500 HU around -600 has 1500 / 255.
            intercept: HU of grey value 0, there -1350.
            spacing_mm: of the voxels along columns, rows and slices.
            declared: see `Options`; scans are quarantined as CLASS/PATIENT/SCAN.

        Raises:
            ConfigError: slope, intercept or a spacing is impossible.
            BadFileError: if there is no scan.
        """
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope > 0):
            raise ConfigError(f"grey_scaling: [{slope}, {intercept}] are no slope above 0 and intercept in HU")
        if not all(math.isfinite(mm) and mm > 0 for mm in spacing_mm):
            raise ConfigError(f"spacing_mm: {list(spacing_mm)} are no three lengths above 0 mm")
        super().__init__(root, f"slope={slope} intercept={intercept} spacing_mm={spacing_mm}", **declared)
        self._scaling: Scaling = (slope, intercept)
        x, y, z = spacing_mm
        self._affine = np.array([[0, 0, -x, 0], [0, -y, 0, 0], [-z, 0, 0, 0], [0, 0, 0, 1]])
        names = [name for name in map(self._name, self.files()) if self._is_usable(name)]
        self.label_names = tuple(sorted({name.partition("/")[0] for name in names}))
        studies = [
            study_of(
                name, patient_id=name.split("/")[1], labels={c: int(name.startswith(f"{c}/")) for c in self.label_names}
            )
            for name in names
        ]
        self._take(studies, "scan like NCP/12/1234")

    @classmethod
    def build(cls, data: DataSettings, on_problem: OnProblem) -> Self:
        """The data set that a configuration describes."""
        assert data.root is not None
        assert data.grey_scaling is not None
        assert data.spacing_mm is not None
        slope, intercept = data.grey_scaling
        others = options(data, on_problem)
        return cls(data.root, slope=slope, intercept=intercept, spacing_mm=data.spacing_mm, **others)

    def volume_file(self, reconstruction: str) -> Path:
        """The folder of the slices."""
        return inside(self._root, reconstruction)

    def files(self) -> Iterator[Path]:
        """Every scan's folder."""
        for path in sorted(self._root.glob("*/*/*/")):
            name = self._name(path)
            if name not in self._quarantine and "/." not in f"/{name}":
                yield path

    def opening(self, path: Path, on_problem: OnProblem) -> AbstractContextManager[StoredVolume]:
        """Opens the pictures of a scan's folder."""
        return opened_slices(path, root=self._root, affine=self._affine, scaling=self._scaling)
