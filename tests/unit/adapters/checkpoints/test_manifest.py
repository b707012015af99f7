"""A manifest names files inside its folder, and says what it says in the right types."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.adapters.checkpoints.manifest import read_manifest, verified_file
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError


def written(folder: Path, **changes: Any) -> Path:
    (folder / "manifest.json").write_text(json.dumps({"step": 3, "files": {"a.json": "0"}, **changes}))
    return folder / "manifest.json"


def test_what_is_right_comes_back_with_what_is_unknown(tmp_path: Path) -> None:
    known = {"version": 5, "metrics": {"loss": 1, "nan": float("nan")}, "text_encoder": None, "git_commit": None}
    found = read_manifest(written(tmp_path, **known, more=[1]))
    assert (found["step"], found["more"], found["metrics"]["loss"]) == (3, [1], 1)


OUTSIDE = [
    "../a",
    "/etc/passwd",
    "a/../../b",
    "..",
    ".",
    "",
    "a//b",
    "./a",
    "a/",
    "C:/a",
    "C:a",
    "..\\a",
    "a\0b",
    "a\nb",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_may_lead_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CheckpointError, match=r"manifest.json: damaged \(it names the file '.*only files inside its"):
        read_manifest(written(tmp_path, files={"config.json": "0", name: "0"}))


WRONG: list[dict[str, Any]] = [
    {"step": "3"},
    {"step": 3.0},
    {"step": -1},
    {"step": None},
    {"files": ["a"]},
    {"files": {"a": 1}},
    {"files": {str(number): "0" for number in range(2000)}},
    {"version": "5"},
    {"format": 1},
    {"metrics": {"loss": "1"}},
    {"metrics": []},
    {"versions": {"torch": {}}},
    {"git_commit": 1},
    {"data_fingerprint": "a" * 5000},
    {"text_encoder": {"source": 1}},
    {"text_encoder": "a"},
    {"settings": []},
    {"classifier": {}},
    {"classifier": {"labels": "abc"}},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: str(changes)[:40])
def test_a_value_of_another_type_is_told_by_its_key(tmp_path: Path, changes: dict[str, Any]) -> None:
    key = next(iter(changes))
    with pytest.raises(CheckpointError, match=rf"manifest.json: damaged \(not a manifest: {key}.*\); take another"):
        read_manifest(written(tmp_path, **changes))


@given(st.text(max_size=20))
def test_names_stay_below_the_folder_or_are_refused(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        read_manifest(written(folder, files={name: "0"}))
    except CheckpointError:
        return
    assert Path(os.path.normpath(folder / name)).is_relative_to(folder)
    assert Path(os.path.normpath(folder / name)) != folder


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    folder, secret = tmp_path / "step", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("1")
    (folder / "config.json").symlink_to(secret)
    with pytest.raises(CheckpointError, match=rf"config.json: is a link to {secret}, outside its checkpoint; put the"):
        verified_file(folder, "config.json", sha256_of(secret))
    (folder / "own").write_text("1")
    (folder / "inside").symlink_to("own")
    (tmp_path / "named").symlink_to(folder)
    assert verified_file(tmp_path / "named", "inside", sha256_of(secret)).read_text() == "1"


def test_the_hubs_cache_keeps_its_files_nearby(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b/snapshots/c0ffee"
    (snapshot / "tokenizer").mkdir(parents=True)
    blobs = tmp_path / "models--a--b/blobs"
    blobs.mkdir()
    (blobs / "1").write_text("1")
    (snapshot / "tokenizer/vocab.txt").symlink_to("../../../blobs/1")
    assert verified_file(snapshot, "tokenizer/vocab.txt", sha256_of(blobs / "1")).read_text() == "1"


def test_what_cannot_be_hashed_in_time_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match=r"pipe: damaged \(no regular file"):
        verified_file(tmp_path, "pipe", "0")
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"config.json: damaged \(1,099,511,627,776 bytes are more than such a"):
        verified_file(tmp_path, "config.json", "0")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CheckpointError, match=r"loop: cannot be read \(Too many levels of symbolic links\); take"):
        verified_file(tmp_path, "loop", "0")
