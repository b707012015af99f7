"""Files of others: a value, or a few words that say why not; never another error, and never without an end."""

import os
from pathlib import Path

import pytest
from support.bounded import bounded

from simcrop.adapters.system.outside_files import MOST_BYTES, parse_json, read_json, require_regular, small_file


def test_what_is_json_is_read_with_or_without_a_mark_at_its_beginning(tmp_path: Path) -> None:
    for mark in (b"", b"\xef\xbb\xbf"):
        (tmp_path / "a.json").write_bytes(mark + '{"a": [1, "µ", null]}'.encode())
        assert read_json(tmp_path / "a.json") == {"a": [1, "µ", None]}
    assert parse_json(b'"[[[["') == "[" * 4


@pytest.mark.parametrize("levels", [33, 900, 200_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deeply_is_a_value_error(levels: int, opens: str, closes: str) -> None:
    text = opens * levels + "1" + closes * levels
    for given in (text, text.encode(), f"[[], {text}]"):
        with pytest.raises(ValueError, match=r"^nested more than 32 levels deep$"):
            parse_json(given)
    assert parse_json(opens * 32 + "1" + closes * 32)
    assert parse_json("[" + "[]," * 200 + "1]")[-1] == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"9" * 5000, b'{"a": 01}', b"\x00", b'"\xed\xa0\x80"'])
def test_what_is_no_json_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_json(tmp_path / "a.json")


def test_no_more_than_the_limit_is_taken_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(1 << 40)  # a hole, of which nothing is on disk
    with bounded(30), pytest.raises(ValueError, match=rf"^larger than {MOST_BYTES:,} bytes$"):
        read_json(tmp_path / "a.json")
    (tmp_path / "b").write_bytes(b"1234")
    assert small_file(tmp_path / "b", 4) == b"1234"


def test_a_pipe_is_not_waited_for_and_a_folder_is_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with bounded(30), pytest.raises(ValueError, match="no regular file"):
        read_json(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        require_regular(tmp_path)
    with pytest.raises(FileNotFoundError):
        require_regular(tmp_path / "absent")
