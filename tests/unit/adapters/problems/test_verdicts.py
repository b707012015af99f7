"""Verdicts are remembered as long as a file is as it was."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from support.data_folders import FINDINGS, chest, write_table, write_volume

from simcrop.adapters.problems.verdicts import Verdict, Verdicts, source_stamp
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.problems import problem
from simcrop.core.errors import DataError

BAD = problem("a.nii.gz", "container.crc", "is damaged", offset=3)


@pytest.fixture
def source(tmp_path: Path) -> ManifestSource:
    rows: list[dict[str, object]] = []
    for number, (name, split) in enumerate((("a", "train"), ("b", "train"), ("c", "validation"))):
        write_volume(tmp_path / f"data/{name}.nii.gz", chest(number))
        rows.append({"volume": f"{name}.nii.gz", "findings": FINDINGS, "impression": "Normal.", "split": split})
    write_table(tmp_path / "data/reports.csv", rows)
    return ManifestSource(tmp_path / "data/reports.csv")


def test_errors_are_known_to_the_next_run_until_the_file_changes(source: ManifestSource, tmp_path: Path) -> None:
    Verdicts(tmp_path / "cache", source).add_errors({"a.nii.gz": BAD})
    known = Verdicts(tmp_path / "cache", source)
    assert known.errors() == {"a.nii.gz": BAD}
    assert known.get("b.nii.gz") is None
    os.utime(source.volume_file("a.nii.gz"), (0, 0))
    assert known.errors() == {}
    assert (
        Verdicts(tmp_path / "cache", ManifestSource(source.volume_file("reports.csv"), padding_value=-1)).errors() == {}
    )


def test_the_voxels_of_a_held_out_volume_among_those_to_learn_from_are_an_error(
    source: ManifestSource, tmp_path: Path
) -> None:
    verdicts = Verdicts(tmp_path / "cache", source)
    for name, digest in (("a.nii.gz", "same"), ("b.nii.gz", "other"), ("c.nii.gz", "same")):
        verdicts.add(name, Verdict(source_stamp(source, name), digest, ()))
    assert {name: error.code for name, error in verdicts.errors().items()} == {
        "c.nii.gz": "set.duplicate_across_splits"
    }


def test_what_may_be_put_right_elsewhere_is_not_remembered(source: ManifestSource, tmp_path: Path) -> None:
    verdicts = Verdicts(tmp_path / "cache", source)
    verdicts.add_errors({"a.nii.gz": problem("a.nii.gz", "container.unreadable", "may not be read")})
    assert verdicts.get("a.nii.gz") is None
    assert not (tmp_path / "cache").exists()


def test_the_first_error_counts_and_a_note_is_none() -> None:
    note = problem("a", "container.ambiguous", "lies beside b")
    note = note if note.severity == "note" else problem("a", "content.field_of_view", "is small")
    assert Verdict({}, None, (note,)).error is None
    assert Verdict({}, None, (note, BAD)).error == BAD


def test_a_file_that_cannot_be_seen_has_an_empty_stamp(source: ManifestSource) -> None:
    assert set(source_stamp(source, "a.nii.gz")) == {"name", "bytes", "mtime_ns"}
    assert source_stamp(source, "absent.nii.gz") == {}


def test_a_line_that_a_kill_cut_off_is_no_verdict_and_spoils_none(source: ManifestSource, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    Verdicts(cache, source).add_errors({"a.nii.gz": BAD})
    [path] = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    again = Verdicts(cache, source)
    assert again.get("a.nii.gz") is None
    again.add_errors({"a.nii.gz": BAD, "b.nii.gz": BAD})
    found = Verdicts(cache, source)
    assert found.errors() == {"a.nii.gz": BAD, "b.nii.gz": BAD}
    assert len(path.read_text().splitlines()) == 3


def test_a_disk_that_refuses_is_one_line(source: ManifestSource, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    verdicts = Verdicts(cache, source)
    verdicts.add_errors({"a.nii.gz": BAD})
    [path] = cache.iterdir()
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=r"checked_\w+.jsonl: cannot be written .*; free disk space or change data.pre"):
        verdicts.add_errors({"b.nii.gz": BAD})


def test_a_note_is_still_one_when_it_is_remembered(source: ManifestSource, tmp_path: Path) -> None:
    note = replace(BAD, is_note=True)
    Verdicts(tmp_path / "cache", source).add("a.nii.gz", Verdict(source_stamp(source, "a.nii.gz"), "x", (note,)))
    known = Verdicts(tmp_path / "cache", source)
    verdict = known.get("a.nii.gz")
    assert verdict is not None
    assert verdict.problems == (note,)
    assert known.errors() == {}


@pytest.mark.parametrize("name", ["a.nii.gz", "ä {x}.nii.gz", 'one "two".nii.gz'])
@pytest.mark.parametrize("digest", [None, "3e5f"])
def test_a_clean_verdict_is_remembered_as_it_was_whatever_the_volume_is_called(
    tmp_path: Path, name: str, digest: str | None
) -> None:
    write_volume(tmp_path / "data" / name, chest())
    write_table(tmp_path / "data/reports.csv", [{"volume": name, "findings": FINDINGS, "impression": ""}])
    source = ManifestSource(tmp_path / "data/reports.csv")
    verdict = Verdict(source_stamp(source, name), digest, ())
    Verdicts(tmp_path / "cache", source).add(name, verdict)
    known = Verdicts(tmp_path / "cache", source)
    assert known.get(name) == verdict
    assert known.errors() == {}


def test_a_line_whose_bytes_are_no_text_is_no_verdict(source: ManifestSource, tmp_path: Path) -> None:
    Verdicts(tmp_path / "cache", source).add("a.nii.gz", Verdict(source_stamp(source, "a.nii.gz"), "x", ()))
    [path] = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes().replace(b"a.nii.gz", b"\xff.nii.gz"))
    assert Verdicts(tmp_path / "cache", source).get("a.nii.gz") is None


def test_the_last_verdict_on_a_volume_counts(source: ManifestSource, tmp_path: Path) -> None:
    verdicts, stamp = Verdicts(tmp_path / "cache", source), source_stamp(source, "a.nii.gz")
    for found in ((), (BAD,), ()):
        verdicts.add("a.nii.gz", Verdict(stamp, "x", found))
        assert Verdicts(tmp_path / "cache", source).errors() == ({"a.nii.gz": BAD} if found else {})


def test_a_change_below_a_folder_is_seen(tmp_path: Path) -> None:
    (tmp_path / "data/patient/series").mkdir(parents=True)
    (tmp_path / "data/patient/series/a").write_bytes(b"1234")
    write_table(tmp_path / "data/reports.csv", [{"volume": "patient", "findings": FINDINGS, "impression": ""}])
    source = ManifestSource(tmp_path / "data/reports.csv")
    before = source_stamp(source, "patient")
    assert before["bytes"] == 4
    (tmp_path / "data/patient/series/b").write_bytes(b"1")
    assert source_stamp(source, "patient")["bytes"] == 5
