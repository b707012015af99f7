"""The files of an index: where they lie, and what stands in them."""

import csv
from pathlib import Path

import pytest

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.sources.indexing.outputs import (
    LeftOutTable,
    Places,
    text_file,
    write_configuration,
    write_table,
)
from simcrop.adapters.sources.indexing.rows import COLUMNS, TableRow
from simcrop.adapters.sources.indexing.volumes import LeftOut

ROW = TableRow("a/b", "p1", "s1", num_files=24)


@pytest.mark.parametrize(
    ("table", "root", "named", "needs_root"),
    [
        ("/x/table.csv", "/x", "a/b", False),
        ("/x/table.csv", "/x/scans", "scans/a/b", False),
        ("/y/table.csv", "/x", "a/b", True),
        ("/x/scans/table.csv", "/x", "a/b", True),
    ],
)
def test_paths_are_relative_to_the_table_or_to_the_root_where_that_cannot_be(
    table: str, root: str, named: str, needs_root: bool
) -> None:
    places = Places(Path(table), Path(root))
    assert (places.named("a/b"), places.needs_root) == (named, needs_root)


def test_a_volume_at_the_root_is_called_by_the_folder() -> None:
    assert Places(Path("/x/table.csv"), Path("/x/scans")).named(".") == "scans"
    assert Places(Path("/x/table.csv"), Path("/x")).named(".") == "."


def test_own_files_are_known_by_their_names_and_drafts_go(tmp_path: Path) -> None:
    places = Places(tmp_path / "t.csv", tmp_path)
    own = ("t.csv", "t.left_out.csv", "t.yaml", ".t.csv.unfinished", ".t.csv.unfinished-journal", ".t.csv.17.draft")
    own = (*own, ".t.csv.lock", ".t.csv.lock.json")
    others = ("t2.csv", ".x.csv.17.draft", "t.left_out.txt")
    for name in (*own, *others):
        (tmp_path / name).touch()
    assert {path.name for path in tmp_path.iterdir() if places.is_own(path)} == {*own}
    assert not places.is_own(tmp_path / "a/t.csv")
    places.remove_drafts()
    assert {path.name for path in tmp_path.iterdir()} == {*own, *others} - {".t.csv.17.draft"}


def test_a_table_has_its_columns_and_sums(tmp_path: Path) -> None:
    places = Places(tmp_path / "t.csv", tmp_path / "scans")
    with text_file(places.table) as stream:
        counts = write_table(stream, places, [(ROW, True, ("Lung; clear, \n", "")), (ROW, False, ("", ""))])
    with places.table.open(newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert tuple(first) == COLUMNS
    assert (first["volume"], first["best"], first["findings"]) == ("scans/a/b", "yes", "Lung; clear, \n")
    assert (second["best"], second["verdict"], second["num_files"]) == ("no", "good", "24")
    assert (counts.rows, counts.files) == (2, 48)


def test_the_list_beside_it_is_counted_by_reason(tmp_path: Path) -> None:
    with text_file(tmp_path / "t") as stream:
        table = LeftOutTable(stream, Places(tmp_path / "t.csv", tmp_path / "scans"))
        table.add(LeftOut("file", "IM\udcff", "a localizer", num_files=1))
        table.add(LeftOut("volume", "a/b", "not the best", num_files=24, series="1.2"))
        table.add(LeftOut("report", "line 2", "no study"))
    assert table.counts.reasons == {
        ("file", "a localizer"): 1,
        ("volume", "not the best"): 24,
        ("report", "no study"): 1,
    }
    assert (table.counts.rows, table.counts.files) == (3, 25)
    text = (tmp_path / "t").read_text(encoding="utf-8")
    assert text.splitlines() == [
        "kind,name,series,files,reason,code,detail",
        "file,scans/IM\\udcff,,1,a localizer,,",
        "volume,scans/a/b,1.2,24,not the best,,",
        "report,line 2,,0,no study,,",
    ]


@pytest.mark.parametrize("is_outside", [False, True])
def test_a_configuration_takes_the_table_and_is_never_overwritten(tmp_path: Path, is_outside: bool) -> None:
    places = Places(tmp_path / 'out/my "t": #1.csv', tmp_path / ("scans" if is_outside else "out/scans"))
    for folder in (places.table.parent, places.root):
        folder.mkdir(exist_ok=True)
    places.table.touch()
    assert write_configuration(places)
    data = load_config(places.configuration).data
    assert (data.source, data.manifest) == ("manifest", places.table)
    assert data.root == (places.root if is_outside else None)
    places.configuration.write_text("mine")
    assert not write_configuration(places)
    assert places.configuration.read_text() == "mine"
