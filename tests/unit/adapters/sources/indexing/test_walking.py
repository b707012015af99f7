"""Every file of a tree, once, in one order, whatever it is."""

import os
from pathlib import Path

import pytest

from simcrop.adapters.sources.indexing.walking import Found, walk


def found(root: Path, *own: Path) -> dict[str, Found]:
    return {f"{each.folder}/{each.name}".lstrip("/"): each for each in walk(root, own.__contains__)}


def test_every_file_is_found_once_folder_by_folder_in_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/x/1", "z", "a/0", "b.c/1"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    assert list(found(tmp_path)) == ["z", "a/0", "a/x/1", "b/1", "b/2", "b.c/1"]
    one = found(tmp_path)["a/x/1"]
    assert (one.folder, one.name, one.num_bytes, one.reason) == ("a/x", "1", 5, "")
    assert one.mtime_ns == (tmp_path / "a/x/1").stat().st_mtime_ns


def test_the_files_of_the_index_itself_are_passed_over(tmp_path: Path) -> None:
    for name in ("table.csv", "scan"):
        (tmp_path / name).write_bytes(b"")
    assert list(found(tmp_path, tmp_path / "table.csv")) == ["scan"]


def test_what_is_no_candidate_has_a_reason(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "folder").mkdir(parents=True)
    outside.write_bytes(b"1")
    (root / ".snapshot").mkdir()
    (root / ".snapshot/1").write_bytes(b"")
    (root / ".DS_Store").write_bytes(b"")
    (root / "inside").write_bytes(b"")
    os.mkfifo(root / "pipe")
    for name, target in (
        ("link", root / "inside"),
        ("out", outside),
        ("gone", root / "none"),
        ("dir", root / "folder"),
    ):
        (root / name).symlink_to(target)
    reasons = {name: one.reason.partition(" (")[0] for name, one in found(root).items()}
    assert reasons == {
        ".snapshot": "a hidden folder",
        ".DS_Store": "a hidden file",
        "inside": "",
        "link": "",
        "pipe": "no plain file",
        "out": "a link that leaves the folder",
        "gone": "a file that cannot be read",
        "dir": "a link to a folder, which is not followed",
    }
    codes = {name: one.problem.code for name, one in found(root).items() if one.problem is not None}
    assert codes == {"out": "safety.outside", "gone": "container.unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b").chmod(0)
    one = found(tmp_path)["a/b"]
    assert one.is_folder
    assert one.problem is not None


def test_a_folder_that_goes_while_it_is_walked_is_told(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/1").write_bytes(b"")
    seen: list[Found] = []
    for each in walk(tmp_path):
        seen.append(each)
        if each.name == "1":
            (tmp_path / "b").rmdir()
    assert [(each.name, each.is_folder) for each in seen] == [("1", False), ("b", True)]
    assert seen[1].reason == "a folder that cannot be looked into"


def test_names_that_are_no_utf_8_are_found(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/IM\xff"))).write_bytes(b"")
    assert [os.fsencode(each.name) for each in walk(tmp_path)] == [b"IM\xff"]
