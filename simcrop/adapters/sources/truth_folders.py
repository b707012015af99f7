"""Places of sentences and organs that lie in a folder for each volume (docs/ground_truth.md)."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from simcrop.adapters.formats.ground_truth import organ_files, read_ground_truth, read_mask
from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.problems.paths import inside
from simcrop.core.data.study import SentenceTruth, Volume
from simcrop.core.errors import ConfigError
from simcrop.core.ports import DataSet, OrganSource, TruthSource


class TruthFolders(ABC):
    """The part of a data set that tells where things are, read from folders."""

    @abstractmethod
    def _truth_folder(self, reconstruction: str) -> Path:
        """The folder of a volume, whether or not it is there."""

    def ground_truth(self, reconstruction: str) -> Sequence[SentenceTruth]:
        """Sentences with their places; empty where the volume has no folder."""
        return read_ground_truth(self._truth_folder(reconstruction)).sentences

    def organs(self, reconstruction: str) -> Mapping[str, str]:
        """Organ name -> name of its mask."""
        return read_ground_truth(self._truth_folder(reconstruction)).organs

    def organ_files(self, reconstruction: str) -> tuple[Path, ...]:
        """The files that say where its organs are, and their list."""
        return organ_files(self._truth_folder(reconstruction))

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """One ground-truth mask on its own grid."""
        return read_mask(self._truth_folder(reconstruction), name)

    def read_masks(self, reconstruction: str, names: Sequence[str]) -> Iterator[Volume]:
        """Several masks, in that order."""
        return (self.read_mask(reconstruction, name) for name in names)


def organ_source(source: DataSet, folder: Path | None) -> OrganSource:
    """What tells where organs are: the data set itself, or a folder elsewhere, by the key `data.organ_masks`.

    Raises:
        ConfigError: there is no such folder.
    """
    if folder is None:
        return source
    masks = WithTruthFolder(source, folder, "data.organ_masks")
    masks.identity = f"{source.identity} organs={masks.folder}"
    return masks


class WithTruthFolder(TruthFolders):
    """The ground truth of a data set's volumes, from a folder elsewhere.

    Attributes:
        label_names, identity: of the data set.
        folder: of the ground truth.
    """

    def __init__(self, source: TruthSource, folder: Path, key: str = "grounding.folder") -> None:
        """
        Args:
            source: the data set.
            folder: holds one folder for each volume, named as the volume without .nii.gz or the like.
            key: of the configuration that names it.

        Raises:
            ConfigError: there is no such folder.
        """
        if not folder.is_dir():
            raise ConfigError(f"{key}: {folder} does not exist; name a folder as in docs/ground_truth.md")
        self.label_names, self.identity = source.label_names, source.identity
        self.folder = folder.resolve()

    def _truth_folder(self, reconstruction: str) -> Path:
        return inside(self.folder, without_suffix(reconstruction) or reconstruction)
