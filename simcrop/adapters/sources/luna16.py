"""LUNA16 as it is downloaded: chest CT with marked nodules, masks of the lungs, no reports."""

from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import numpy as np
import torch

from simcrop.adapters.formats.opening import opened, read_volume
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.formats.tables import find_table, read_rows
from simcrop.adapters.sources.base import Options, Source, study_of
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.cells import filled
from simcrop.core.data.problems import OnProblem, bad_file
from simcrop.core.data.study import Volume
from simcrop.core.evaluation.published import LUNA16

LABEL = "Lung nodule"
"""By CT-RATE's name, so that features of the one can be probed with the other."""
_ID = "seriesuid"
_TABLE = "annotations.csv"
_MASKS = "seg-lungs-LUNA16"
_LUNGS, _TRACHEA = (3, 4), 5
_ORGANS = ("lungs", "left_lung", "right_lung", "trachea")
_PADDING_BELOW = -1500
"""HU below any noise in air: scanners wrote -2000, -2048 or -3024 outside their field of view."""


class Luna16Source(Source):
    """Volumes `subset{0..9}/UID.mhd` with their .raw; `annotations.csv`, where it is there, names those with a nodule.

    It is looked for in the folder and in its CSVFILES. Voxels are HU; what lies below -1500 is padding and read as air.
    Series do not name their patient and are taken for one each; the ten subsets are no split of ours. Masks of
    `seg-lungs-LUNA16/UID.mhd` are the organs `lungs` (the values 3 and 4) and `trachea`. Which value is which side is
    documented nowhere, so of the two the one that lies further to the patient's right is `right_lung`.
    """

    kind = "luna16"
    suffix = ".mhd"
    declares_padding = False
    published = LUNA16

    def __init__(self, root: Path, **declared: Unpack[Options]) -> None:
        """
        Args:
            root: the folder.
            declared: see `Options`; series are quarantined by their UID.

        Raises:
            BadFileError: if there is no volume, or the table has no column seriesuid.
        """
        super().__init__(root, **declared)
        self._headers: dict[str, Path] = {}
        for path in sorted(self._root.glob("subset[0-9]/*.mhd")):
            if path.stem in self._headers:
                message = f"lies beside {self._headers[path.stem].relative_to(self._root)}, which is read"
                self._tell(path, "set.duplicate", message)
                continue
            self._headers[path.stem] = path
        names = [name for name in self._headers if self._is_usable(name)]
        with_nodule = self._read_annotations()
        self.label_names = () if with_nodule is None else (LABEL,)
        studies = [
            study_of(
                name, patient_id=name, labels={label: int(name in (with_nodule or ())) for label in self.label_names}
            )
            for name in names
        ]
        self._take(studies, "volume like subset0/UID.mhd")

    def volume_file(self, reconstruction: str) -> Path:
        """UID.raw in its subset: what a damaged download is seen by. UID.mhd where there is none."""
        if reconstruction not in self._headers:
            raise bad_file(reconstruction, "container.missing", f"is no series in {self._root}")
        return _with_voxels(self._headers[reconstruction])

    def files(self) -> Iterator[Path]:
        """Every volume on disk."""
        return (_with_voxels(path) for name, path in self._headers.items() if name not in self._quarantine)

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Both lungs, each of them, and the trachea, where the volume has a mask."""
        return {name: name for name in _ORGANS} if self._mask_file(reconstruction).is_file() else {}

    def organ_files(self, reconstruction: str) -> tuple[Path, ...]:
        """The mask and the header beside it, where the volume has them."""
        header = self._mask_file(reconstruction)
        return (*sorted(header.parent.glob(f"{header.stem}.*raw")), header) if header.is_file() else ()

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """The mask of an organ on its own grid: 1 inside."""
        if name not in self.organs(reconstruction):
            return super().read_mask(reconstruction, name)
        found = read_volume(self._mask_file(reconstruction), root=self._root)
        return Volume(torch.isin(found.voxels, torch.tensor(_values(found, name))).short(), found.affine)

    @contextmanager
    def opening(self, path: Path, on_problem: OnProblem) -> Generator[StoredVolume]:
        """Opens the header of a file with voxels; what lies below any HU is air."""
        with opened(self._headers[path.stem], root=self._root, on_problem=on_problem) as stored:
            yield replace(stored, chunks=(np.where(chunk < _PADDING_BELOW, AIR_HU, chunk) for chunk in stored.chunks))

    def _mask_file(self, reconstruction: str) -> Path:
        return self._root / _MASKS / f"{self.volume_file(reconstruction).stem}.mhd"

    def _read_annotations(self) -> Collection[str] | None:
        """Series with a nodule, or None where there is no table."""
        path = find_table(self._root / _TABLE) or find_table(self._root / "CSVFILES" / _TABLE)
        if path is None:
            return None
        named: set[str] = set()
        for line, row in read_rows(path, [_ID], self._on_problem)[1]:
            if series := filled(row[_ID]):
                named.add(series)
            else:
                self._tell(path, "text.value", f"line {line} has no {_ID}", line=line, column=_ID)
        missing = named - self._headers.keys()
        if missing:
            message = f"names {len(missing)} series that are not there"
            self._tell(path, "set.partial_download", message, series=len(missing))
        return named


def _values(mask: Volume, organ: str) -> tuple[int, ...]:
    """The values of an organ in a mask; a lung that is not there counts as lying in the middle."""
    if organ == "trachea":
        return (_TRACHEA,)
    if organ == "lungs":
        return _LUNGS
    middle = (torch.tensor(mask.voxels.shape) - 1) / 2
    places = [torch.nonzero(mask.voxels == value).float() for value in _LUNGS]
    centres = [place.mean(0) if len(place) else middle for place in places]
    to_the_right = [float(mask.affine[0, :3].float() @ centre) for centre in centres]
    is_right = organ == "right_lung"
    return (_LUNGS[0] if (to_the_right[0] > to_the_right[1]) == is_right else _LUNGS[1],)


def _with_voxels(path: Path) -> Path:
    voxels = path.with_suffix(".raw")
    return voxels if voxels.is_file() else path
