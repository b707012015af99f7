"""A data set whose masks lie in a folder of their own, apart from its volumes."""

from collections.abc import Sequence
from pathlib import Path, PurePath

from simcrop.adapters.formats.ground_truth import read_ground_truth, read_mask
from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.problems.paths import inside
from simcrop.core.data.study import SentenceTruth, Study, Volume
from simcrop.core.errors import ConfigError
from simcrop.core.ports import StudySource


class WithTruthFolder:
    """The studies and volumes of a source, with the ground truth of another place (docs/ground_truth.md)."""

    def __init__(self, source: StudySource, folder: Path) -> None:
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
        self._source, self._folder = source, folder.resolve()

    def studies(self) -> Sequence[Study]:
        """Those of the source."""
        return self._source.studies()

    def volume_file(self, reconstruction: str) -> PurePath:
        """That of the source."""
        return self._source.volume_file(reconstruction)

    def read_volume(self, reconstruction: str) -> Volume:
        """That of the source."""
        return self._source.read_volume(reconstruction)

    def ground_truth(self, reconstruction: str) -> Sequence[SentenceTruth]:
        """What the folder says of a volume's sentences; empty where it has nothing of it."""
        return read_ground_truth(self._of(reconstruction)).sentences

    def read_mask(self, reconstruction: str, name: str) -> Volume:
        """One mask of the folder on its own grid."""
        return read_mask(self._of(reconstruction), name)

    def _of(self, reconstruction: str) -> Path:
        return inside(self._folder, without_suffix(reconstruction) or reconstruction)
