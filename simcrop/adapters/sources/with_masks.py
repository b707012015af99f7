"""A data set whose masks lie in a folder of their own, apart from its volumes."""

from pathlib import Path

from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.sources.truth_folders import TruthFolders
from simcrop.core.errors import ConfigError
from simcrop.core.ports import TruthSource


class WithTruthFolder(TruthFolders):
    """The ground truth of a data set's volumes, from a folder elsewhere."""

    def __init__(self, source: TruthSource, folder: Path) -> None:
        """
        Args:
            source: the data set.
            folder: holds one folder for each volume, named as the volume without .nii.gz or the like.

        Raises:
            ConfigError: there is no such folder.
        """
        if not folder.is_dir():
            raise ConfigError(f"grounding.folder: {folder} does not exist; name a folder as in docs/ground_truth.md")
        self.label_names, self.identity = source.label_names, source.identity
        self._folder = folder.resolve()

    def _truth_folder(self, reconstruction: str) -> Path:
        return inside(self._folder, without_suffix(reconstruction) or reconstruction)
