"""Volumes that a reader of their own opens."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE, chest
from support.landmarks import codes

from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.sources.without_reports import StoredSource, study_of
from simcrop.core.data.problems import BadFileError, Problem


class _ArraySource(StoredSource):
    kind = "array"

    def volume_file(self, reconstruction: str) -> Path:
        return self._root / reconstruction

    def files(self) -> Iterator[Path]:
        return iter(self._root.glob("*.npy"))

    @contextmanager
    def _opening(self, reconstruction: str, on_problem: Callable[[Problem], None]) -> Generator[StoredVolume]:
        voxels = np.load(self.volume_file(reconstruction))
        yield StoredVolume(voxels.shape, voxels.dtype, AFFINE, iter([voxels]), "C")


def test_what_is_opened_is_read_and_inspected(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", chest())
    source = _ArraySource(tmp_path)
    assert (source.read_volume("a.npy").voxels.numpy() == chest()).all()
    assert codes(source.inspect, "a.npy") == []
    np.save(tmp_path / "flat.npy", chest() * 0)
    assert codes(source.inspect, "flat.npy") == ["content.constant"]


def test_a_link_that_leaves_the_folder_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "a.npy", chest())
    (tmp_path / "data/a.npy").symlink_to(tmp_path / "a.npy")
    source = _ArraySource(tmp_path / "data")
    assert codes(source.inspect, "a.npy") == ["safety.outside"]
    with pytest.raises(BadFileError, match="outside"):
        source.read_volume("a.npy")


def test_a_study_without_a_report_is_named_after_its_volume() -> None:
    study = study_of("a", patient_id="p", split="train", labels={"mass": 1})
    assert (study.study_id, study.reconstructions, study.patient_id) == ("a", ("a",), "p")
    assert (study.split, study.labels, study.report.findings) == ("train", {"mass": 1}, "")
