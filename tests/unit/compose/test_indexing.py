"""A tree becomes a table: the same one whatever happens on the way, with every file accounted for."""

import csv
import os
from pathlib import Path

import pytest
from support.data_folders import write_table
from support.pacs_export import NAME, Export, write_export

from simcrop.adapters.sources.indexing.entries import VERSION
from simcrop.adapters.sources.indexing.reports import ReportTable
from simcrop.adapters.sources.indexing.walking import walk
from simcrop.adapters.sources.indexing.work_file import WorkFile
from simcrop.adapters.system.locks import owned
from simcrop.compose.indexing import Indexed, IndexOptions, index_folder
from simcrop.core.data.best_series import Preference
from simcrop.core.errors import ConfigError, DataError

ALONE = IndexOptions(workers=1)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """A study of each kind; the tests write beside it."""
    return write_export(tmp_path_factory.mktemp("index") / "export", 12)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def index(export: Export, out: Path, **options: object) -> Indexed:
    return index_folder(export.root, out, IndexOptions(**{"workers": 1, **options}))


def bytes_of(out: Path) -> tuple[bytes, bytes]:
    return out.read_bytes(), out.with_name(f"{out.stem}.left_out.csv").read_bytes()


def test_every_file_is_in_a_volume_or_has_a_reason(export: Export, tmp_path: Path) -> None:
    found = index(export, tmp_path / "t.csv")
    rows, left_out = rows_of(tmp_path / "t.csv"), rows_of(tmp_path / "t.left_out.csv")
    assert found.files == export.files
    assert sum(int(row["num_files"]) for row in rows) + sum(int(row["files"]) for row in left_out) == export.files
    assert (found.volumes, len(rows), found.studies) == (export.volumes, export.volumes, 12)
    reasons = [row["reason"] for row in left_out]
    assert {reason: reasons.count(reason) for reason in reasons} == export.left_out
    assert all(row["name"] for row in left_out)


def test_the_best_series_of_each_study_is_marked(export: Export, tmp_path: Path) -> None:
    index(export, tmp_path / "t.csv")
    rows = rows_of(tmp_path / "t.csv")
    best = {row["study_id"]: row["series"] for row in rows if row["best"] == "yes"}
    assert best == {study: series for study, series in export.best.items() if series is not None}
    assert len(best) == sum(row["best"] == "yes" for row in rows)
    soft = index(export, tmp_path / "soft.csv", preference=Preference(kernel="soft"), best_only=True)
    kernels = [row["kernel"] for row in rows_of(tmp_path / "soft.csv")]
    assert (kernels.count("B30f"), len(kernels)) == (9, soft.best)


def test_no_name_of_a_patient_is_written(export: Export, tmp_path: Path) -> None:
    index(export, tmp_path / "t.csv")
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert NAME.partition("^")[0].encode() not in written
    assert b"P00001" in written


def test_several_processes_write_the_same_bytes(
    export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(export, tmp_path / "a.csv")
    index(export, tmp_path / "b.csv", workers=2)
    assert bytes_of(tmp_path / "a.csv") == bytes_of(tmp_path / "b.csv")


def test_a_command_that_was_stopped_goes_on_and_writes_the_same_bytes(export: Export, tmp_path: Path) -> None:
    index(export, tmp_path / "a.csv")
    with WorkFile(tmp_path / ".b.csv.unfinished", f"{VERSION} {export.root}") as work:
        work.add_found(walk(export.root))
        first = work.pieces(200)[0]
        # What is known is not looked at again: this entry is kept although it is wrong.
        work.add_entries(first, [('{"what": "kept", "problems": []}', None)] * len(first))
    (tmp_path / ".b.csv.17.draft").touch()
    assert len(first) == 200
    index(export, tmp_path / "b.csv")
    reasons = [row["reason"] for row in rows_of(tmp_path / "b.left_out.csv")]
    assert reasons.count("kept") == 200
    assert {path.name for path in tmp_path.iterdir() if "b." in path.name} == {"b.csv", "b.left_out.csv", "b.yaml"}
    index(export, tmp_path / "b.csv")
    assert bytes_of(tmp_path / "a.csv") == bytes_of(tmp_path / "b.csv")


def test_an_index_inside_the_folder_does_not_find_itself(export: Export) -> None:
    files = export.files
    out = export.root / "table.csv"
    try:
        assert index(export, out).files == files
        before = bytes_of(out)
        assert index(export, out).files == files
        assert bytes_of(out) == before
        assert rows_of(out)[0]["volume"] == "P00000/ST00000/SE2"
    finally:
        for name in ("table.csv", "table.left_out.csv", "table.yaml"):
            (export.root / name).unlink()


def test_best_series_with_reports_are_written_and_what_is_not_is_named(export: Export, tmp_path: Path) -> None:
    reports = tmp_path / "reports.csv"
    rows = [{"AccNo": acc, "findings": f"Clear {acc}.", "impression": ""} for acc in export.accessions.values()]
    write_table(reports, [*rows[1:], {"AccNo": "none", "findings": "Lost.", "impression": ""}])
    table = ReportTable(reports, "AccNo")
    found = index(export, tmp_path / "t.csv", reports=table, best_only=True)
    assert found.joined is not None
    assert (found.joined.reports, found.joined.used, found.joined.studies) == (11, 10, 12)
    written, left_out = rows_of(tmp_path / "t.csv"), rows_of(tmp_path / "t.left_out.csv")
    # Of 11 studies with a best series, the first lacks its report, and the NIfTI study has no accession number.
    assert len(written) == 9
    assert all(row["findings"] == f"Clear {row['accession_number']}." for row in written)
    assert sum(int(row["num_files"]) for row in written) + sum(int(row["files"]) for row in left_out) == export.files
    lost = [row["name"] for row in left_out if row["kind"] == "report"]
    assert lost == ["line 12: none"]
    volumes = [row["reason"] for row in left_out if row["kind"] == "volume"]
    assert volumes.count("the best volume of a study without a report") == 2
    assert len(volumes) + len(written) == export.volumes


@pytest.mark.parametrize(
    ("folder", "out", "message"),
    [
        ("none", "t.csv", "none: is no folder"),
        (".", "t.xlsx", r"--out .*t.xlsx: is no name of a CSV; name it t.csv"),
    ],
)
def test_what_cannot_be_indexed_is_refused(tmp_path: Path, folder: str, out: str, message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        index_folder(tmp_path / folder, tmp_path / out, ALONE)


def test_two_commands_on_one_table_are_refused(tmp_path: Path) -> None:
    with (
        owned(tmp_path / "t.csv", beside=True),
        pytest.raises(DataError, match=rf"t\.csv: process {os.getpid()} on .* has been working here since"),
    ):
        index_folder(tmp_path, tmp_path / "t.csv", ALONE)
    assert index_folder(tmp_path, tmp_path / "t.csv", ALONE).files == 0, "its own lock is no file of the tree"


def test_an_empty_folder_is_an_empty_table(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = index_folder(tmp_path / "empty", tmp_path / "t.csv", ALONE)
    assert (found.files, found.volumes, found.studies, rows_of(tmp_path / "t.csv")) == (0, 0, 0, [])


def test_files_of_any_bytes_never_stop_it(tmp_path: Path) -> None:
    root = tmp_path / "export"
    write_export(root, 1)
    whole = next(root.rglob("0001.dcm")).read_bytes()
    for length in range(0, len(whole), 37):
        (root / f"cut{length}").write_bytes(whole[:length])
        (root / f"odd{length}.dcm").write_bytes(whole[:length] + os.urandom(40) + whole[length:])
    found = index_folder(root, tmp_path / "t.csv", ALONE)
    assert found.files == found.written.files + found.left_out.files
