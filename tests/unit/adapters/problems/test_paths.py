"""Paths stay in their folder, and packed files do not unpack to more than any scan holds."""

import os
from pathlib import Path

import pytest

from simcrop.adapters.problems.paths import inside, is_file, is_folder, is_plain_file, refuse_bomb, refuse_link_out
from simcrop.core.data.problems import BadFileError


def _code(error: pytest.ExceptionInfo[BadFileError]) -> str:
    return error.value.problem.code


@pytest.mark.parametrize("name", ["a.nii.gz", "sub/a.nii.gz", "sub/../a.nii.gz", "./a"])
def test_a_name_within_the_folder_is_its_path(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name) == Path(os.path.normpath(tmp_path / name))


@pytest.mark.parametrize("name", ["../a.nii.gz", "sub/../../a", "/etc/passwd"])
def test_a_name_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadFileError) as error:
        inside(tmp_path, name)
    assert _code(error) == "safety.outside"


def test_a_name_too_long_for_any_file_holds_none(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert is_file(tmp_path / "a")
    assert is_folder(tmp_path)
    assert not is_file(tmp_path / ("x" * 5000))
    assert not is_folder(tmp_path / ("x" * 5000))


def test_a_folder_whose_name_another_begins_with_does_not_hold_the_others_files(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"lies outside"):
        inside(tmp_path / "a", "../ab/scan.nii.gz")
    assert inside(Path("/"), "scan.nii.gz") == Path("/scan.nii.gz")
    assert inside(tmp_path, ".") == tmp_path


def test_a_plain_file_is_no_link_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    found = [is_plain_file(str(tmp_path / name)) for name in ("file", "link", ".", "absent", "a" * 5000)]
    assert found == [True, False, False, False, False]


def test_links_are_followed_within_the_folder_alone(tmp_path: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "a").touch()
    (tmp_path / "b").touch()
    (root / "within").symlink_to(root / "a")
    (root / "outwards").symlink_to(tmp_path / "b")
    (root / "circle").symlink_to(root / "circle")
    refuse_link_out(root, root / "within")
    with pytest.raises(BadFileError) as error:
        refuse_link_out(root, root / "outwards")
    assert _code(error) == "safety.outside"
    with pytest.raises(BadFileError) as error:
        refuse_link_out(root, root / "circle")
    assert _code(error) == "container.unreadable"


@pytest.mark.parametrize(("num_bytes", "declared"), [(1 << 20, 400 << 20), (1, 1 << 28), (1 << 28, 1 << 33)])
def test_what_a_scan_may_unpack_to_is_no_bomb(num_bytes: int, declared: int) -> None:
    refuse_bomb(Path("a"), num_bytes, declared)


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="claims to hold 536870912, 512 times as many") as error:
        refuse_bomb(tmp_path / "a", 1 << 20, 512 << 20)
    assert _code(error) == "container.bomb"
