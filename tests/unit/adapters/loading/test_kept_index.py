"""The packed lines of index files: found by name, however it is written and whatever its neighbours are called."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simcrop.adapters.loading.kept_index import KeptIndex


def _line(name: str, source: object = "stamp", *, checksum: int = 7) -> dict[str, Any]:
    return {"name": name, "affine": [[1.5]], "source": source, "bytes": 12, "crc32": checksum}


def _index(folder: Path, *rows: dict[str, Any]) -> KeptIndex:
    (folder / "index_a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return KeptIndex(folder)


@given(st.lists(st.text(), unique=True, max_size=8))
def test_each_name_has_its_line_and_no_other(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    rows = [_line(name, {"name": name, "bytes": 3}, checksum=number) for number, name in enumerate(names)]
    index = _index(tmp_path_factory.mktemp("index"), *rows)
    assert len(index) == len(names)
    for row in rows:
        [number] = index.numbers(row["name"])
        assert index.row(number) == row
        assert (index.num_bytes[number], index.checksums[number]) == (12, row["crc32"])
        assert index.is_made_of(number, row["source"])
        assert not index.is_made_of(number, {"name": row["name"], "bytes": 4})
    assert not index.numbers("".join(names) + "another")


def test_names_of_one_key_stay_apart(tmp_path: Path) -> None:
    index = _index(tmp_path, _line("plumless", checksum=1), _line("buckeroo", checksum=2))
    assert [index.checksums[number] for name in ("plumless", "buckeroo") for number in index.numbers(name)] == [1, 2]


def test_a_name_is_found_however_its_letters_are_escaped(tmp_path: Path) -> None:
    line = json.dumps(_line("Röntgen/1"), ensure_ascii=False)
    (tmp_path / "index_a.jsonl").write_text(line, encoding="utf-8")
    index = KeptIndex(tmp_path)
    assert [index.row(number)["name"] for number in index.numbers("Röntgen/1")] == ["Röntgen/1"]


def test_lines_that_were_cut_off_anywhere_are_none_and_those_behind_them_are_read(tmp_path: Path) -> None:
    whole = json.dumps({"name": "b", "affine": [[1.0]], "source": {"bytes": 1}, "bytes": 12, "crc32": 7})
    (tmp_path / "index_b.jsonl").write_text(json.dumps(_line("c")), encoding="utf-8")
    for length in range(len(whole)):
        text = f"{whole[:length]}\n\n{json.dumps(_line('a'))}\n{whole[:length]}"
        (tmp_path / "index_a.jsonl").write_text(text, encoding="utf-8")
        index = KeptIndex(tmp_path)
        assert [len(index.numbers(name)) for name in "abc"] == [1, 0, 1], whole[:length]


def test_lines_of_older_versions_are_read_in_whatever_order_they_tell(tmp_path: Path) -> None:
    row = {"name": "a", "bytes": 12, "crc32": 7, "source": {"name": "a.nii.gz", "bytes": 1}, "affine": [[1.0]]}
    index = _index(tmp_path, row)
    [number] = index.numbers("a")
    assert (index.num_bytes[number], index.checksums[number]) == (12, 7)
    assert index.is_made_of(number, row["source"])


def test_there_is_no_line_where_there_is_no_folder(tmp_path: Path) -> None:
    index = KeptIndex(tmp_path / "absent")
    assert len(index) == 0
    assert not index.numbers("a")
