"""BTCV, or any data set in the layout of the Medical Segmentation Decathlon: volumes with masks of classes."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from simcrop.adapters.formats.opening import inspect_volume, read_volume, suffix_of
from simcrop.adapters.problems.paths import data_files, inside, is_file
from simcrop.adapters.sources.base import Options, Source, study_of
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.data.problems import OnProblem, bad_file, problem
from simcrop.core.data.study import Volume

_TABLE = "dataset.json"
_SPLITS = {"training": "train", "validation": "validation"}
Entry = tuple[str, str, str]


class BTCVSource(Source):
    """Pairs of a volume and its mask that `dataset.json` lists under "training" and, where it has that, "validation".

    Entries under "test" have no mask and are left out. Where the file has no "validation", all studies leave their
    split open. Volumes are named as `dataset.json` names them, without a leading ./

    Attributes:
        class_names: by value in the masks, background first.
    """

    kind = "btcv"

    def __init__(self, root: Path, **declared: Unpack[Options]) -> None:
        """
        Args:
            root: folder with `dataset.json`, `imagesTr/` and `labelsTr/`.
            declared: see `Options`; volumes are quarantined like imagesTr/img0001.nii.gz.

        Raises:
            BadFileError: if `dataset.json` is absent or lacks classes or entries, or no volume is there.
        """
        super().__init__(root, **declared)
        path = self._root / _TABLE
        content = _read_json(path)
        self.class_names = _class_names(path, content)
        self.organ_names = self.class_names[1:]
        entries = _entries(path, content, self._on_problem)
        self._labels = {image: label for _, image, label in entries}
        has_validation = any(part == "validation" for part, _, _ in entries)
        studies = [
            study_of(image, patient_id=image, split=_SPLITS[part] if has_validation else None)
            for part, image, label in entries
            if self._is_there(image) and self._is_there(label)
        ]
        self._take(studies, f"pair of files that {_TABLE} names")

    def volume_file(self, reconstruction: str) -> Path:
        """The file of that name."""
        return inside(self._root, reconstruction)

    def label_file(self, reconstruction: str) -> Path:
        """The file of a volume's mask. Raises BadFileError where `dataset.json` pairs none with it."""
        if reconstruction not in self._labels:
            raise bad_file(reconstruction, "container.missing", f"is paired with no mask by {self._root / _TABLE}")
        return inside(self._root, self._labels[reconstruction])

    def files(self) -> Iterator[Path]:
        """Every volume beside those that are listed."""
        for folder in sorted({self.volume_file(image).parent for image in self._labels}):
            for path in sorted(path for path in folder.glob("*") if suffix_of(path.name)):
                if str(path.relative_to(self._root)) not in self._quarantine and path not in self._label_files():
                    yield path

    def read_classes(self, reconstruction: str) -> Volume:
        """The mask of all classes on its own grid, int16: a voxel holds the place of its class in `class_names`.

        Raises:
            BadFileError: damaged, or a value stands for no class.
        """
        path = self.label_file(reconstruction)
        found = read_volume(path, root=self._root)
        values = found.voxels.unique()
        strange = [value for value in values.tolist() if value not in range(len(self.class_names))]
        if strange:
            message = f"holds the value {strange[0]:g}, and {_TABLE} names {len(self.class_names)} classes"
            raise bad_file(path, "text.value", message, values=strange[:10])
        return Volume(found.voxels.short(), found.affine)

    def inspect(self, reconstruction: str, on_problem: OnProblem) -> str | None:
        """Tell all that is wrong with a volume's file and its mask's; a hash of the volume's voxels."""
        inspect_volume(self.label_file(reconstruction), on_problem, root=self._root, expects_hu=False)
        return super().inspect(reconstruction, on_problem)

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """The classes but for the background, each by its own name."""
        return {name: name for name in self.organ_names} if reconstruction in self._labels else {}

    def organ_files(self, reconstruction: str) -> tuple[Path, ...]:
        """The file of the volume's mask, where it has one, and `dataset.json`, which names the mask's values."""
        if reconstruction not in self._labels:
            return ()
        label = self.label_file(reconstruction)
        return self._root / _TABLE, label, *(data_files(label) if is_file(label) else ())

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """The mask of one class on its own grid: 1 inside."""
        if name not in self.organs(reconstruction):
            return super().read_mask(reconstruction, name)
        return next(self.read_masks(reconstruction, [name]))

    def read_masks(self, reconstruction: str, names: Sequence[str]) -> Iterator[Volume]:
        """Several masks out of the one file, which is read once."""
        found = self.read_classes(reconstruction)
        for name in names:
            yield Volume((found.voxels == self.class_names.index(name)).short(), found.affine)

    def _label_files(self) -> set[Path]:
        return {inside(self._root, label) for label in self._labels.values()}

    def _is_there(self, name: str) -> bool:
        """Whether a file can be used; what is wrong is told."""
        if not self._is_usable(name):
            return False
        path = self.volume_file(name)
        if not is_file(path):
            self._tell(path, "set.row_without_file", f"does not exist, and {self._root / _TABLE} names it")
            return False
        return True


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        content: Any = read_json(path)
    except FileNotFoundError as error:
        raise bad_file(path, "container.missing", "does not exist") from error
    except (OSError, ValueError) as error:
        raise bad_file(path, "container.format", f"is no JSON in UTF-8 ({error})") from error
    if not isinstance(content, dict):
        raise bad_file(path, "container.format", "is no JSON object")
    return content


def _class_names(path: Path, content: Mapping[str, Any]) -> tuple[str, ...]:
    """`labels`, {"0": "background", "1": "spleen", ...}, in the order of the numbers."""
    labels = content.get("labels")
    names = [labels.get(str(number)) for number in range(len(labels))] if isinstance(labels, dict) else []
    if len(names) < 2 or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        message = 'needs "labels": {"0": "background", "1": "spleen", ...}, numbered without a gap, each name once'
        raise bad_file(path, "text.column", message)
    return tuple(str(name) for name in names)


def _entries(path: Path, content: Mapping[str, Any], on_problem: OnProblem) -> list[Entry]:
    """(part, image, label) of every pair that is listed."""
    found: list[Entry] = []
    for part in _SPLITS:
        entries = content.get(part, [])
        for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            names = [entry.get(key) for key in ("image", "label")] if isinstance(entry, dict) else []
            if len(names) != 2 or not all(isinstance(name, str) and name for name in names):
                message = f'has no {{"image": ..., "label": ...}} as entry {number} of "{part}"'
                raise bad_file(path, "text.value", message, part=part, entry=number)
            image, label = (str(name).removeprefix("./") for name in names)
            if any(image == other for _, other, _ in found):
                on_problem(problem(path, "text.duplicate_row", f"lists {image} twice", image=image))
                continue
            found.append((part, image, label))
    return found
