"""A new data set gets defaults for all but its files."""

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.data_folders import AFFINE, chest
from support.landmarks import codes

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.stored import StoredVolume
from simcrop.adapters.sources.base import Source, study_of
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import DataError
from simcrop.core.evaluation.published import UNPUBLISHED


class _TextSource(Source):
    """A data set of text files, each with one number: all that a module of its own would hold."""

    kind = "text"
    suffix = ".txt"

    def __init__(self, root: Path, **declared: object) -> None:
        super().__init__(root, **declared)  # pyright: ignore[reportArgumentType]
        names = sorted(path.stem for path in self.files())
        self._take((study_of(name, patient_id=name) for name in names if self._is_usable(name)), "text file")

    def volume_file(self, reconstruction: str) -> Path:
        return self._root / f"{reconstruction}.txt"

    def files(self) -> Iterator[Path]:
        return (path for path in self._root.glob("*.txt") if path.stem not in self._quarantine)

    @contextmanager
    def opening(self, path: Path, on_problem: Callable[[Problem], None]) -> Generator[StoredVolume]:
        voxels = np.full((2, 2, 2), float(path.read_text()))
        yield StoredVolume((2, 2, 2), voxels.dtype, np.eye(4), iter([voxels]), "C")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in (("b", "40"), ("a", "-2000")):
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def test_a_new_data_set_has_defaults_for_all_but_its_files(root: Path) -> None:
    source = _TextSource.build(DataSettings(root=root, padding_value=-2000), lambda problem: None)
    assert [study.study_id for study in source.studies()] == ["a", "b"]
    assert source.identity == f"text {root} padding_value=-2000"
    assert (source.label_names, dict(source.label_table), source.organ_names) == ((), {}, ())
    assert not source.has_exclusive_labels
    assert source.published is UNPUBLISHED
    assert (source.ground_truth("a"), source.organs("a"), source.organ_files("a")) == ((), {}, ())
    with pytest.raises(DataError, match=r"^a: has no mask 'heart'; it has $"):
        source.read_mask("a", "heart")
    with pytest.raises(DataError, match="has no mask 'heart'"):
        list(source.read_masks("a", ["heart"]))
    assert _TextSource.described(DataSettings(source="btcv", root=root)) == "`btcv`"


def test_padding_is_read_as_air_where_it_is_declared(root: Path) -> None:
    assert (_TextSource(root).read_volume("a").voxels == -2000).all()
    declared = _TextSource(root, padding_value=-2000)
    assert (declared.read_volume("a").voxels == -1000).all()
    assert (declared.read_volume("b").voxels == 40).all()


@pytest.mark.parametrize("name", ["a", "a.txt"])
def test_what_is_in_quarantine_is_left_out_with_or_without_its_suffix(root: Path, name: str) -> None:
    assert [study.study_id for study in _TextSource(root, quarantine=[name]).studies()] == ["b"]


def test_links_that_leave_the_folder_are_told_and_left_out(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "c.txt"
    outside.write_text("40")
    (root / "c.txt").symlink_to(outside)
    found: list[Problem] = []
    assert [study.study_id for study in _TextSource(root, on_problem=found.append).studies()] == ["a", "b"]
    assert [problem.code for problem in found] == ["safety.outside"]
    with pytest.raises(BadFileError, match="outside"):
        _TextSource(root)


def test_a_folder_that_is_none_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="absent: is no folder"):
        _TextSource(tmp_path / "absent")
    with pytest.raises(BadFileError, match="holds no text file"):
        _TextSource(tmp_path)


class _ArraySource(Source):
    kind = "array"

    def volume_file(self, reconstruction: str) -> Path:
        return self._root / reconstruction

    def files(self) -> Iterator[Path]:
        return iter(self._root.glob("*.npy"))

    @contextmanager
    def opening(self, path: Path, on_problem: Callable[[Problem], None]) -> Generator[StoredVolume]:
        voxels = np.load(path)
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
