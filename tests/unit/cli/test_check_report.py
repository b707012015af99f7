"""`simcrop data check`: its screen, its report, its status."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.damage import FileDamage, Hospital, field, packed, synthetic_chest, write
from support.data_folders import write_table
from support.dicom_series import HU, write_series

from simcrop_cli.__main__ import main

BAD: dict[str, tuple[FileDamage, str]] = {
    "empty.nii.gz": (packed(lambda data: b""), "container.empty"),
    "cut.nii.gz": (packed(lambda data: data[:-8]), "container.truncated"),
    "crc.nii.gz": (packed(lambda data: data[:-5] + bytes(1) + data[-4:]), "container.crc"),
    "page.nii.gz": (packed(lambda data: b"<html>"), "container.html"),
    "huge.nii.gz": (field((42, "3h", (32767, 32767, 32767))), "header.dims_huge"),
    "sform.nii.gz": (field((280, "f", (float("nan"),))), "header.affine"),
    "flat.nii.gz": (lambda path: write(path, synthetic_chest() * 0), "content.constant"),
}


KEYS = {"file", "code", "severity", "message", "hint", "values"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven bad files, and two good ones that come first and last."""
    for name in ("a.nii.gz", "z.nii.gz", *BAD):
        write(tmp_path / "data" / name, synthetic_chest(ord(name[0])))
    for name, (damage, _) in BAD.items():
        damage(tmp_path / "data" / name)
    return tmp_path / "data"


def _simcrop(folder: Path, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Exit status and report of `simcrop data check`, run in the folder's parent."""
    report = folder.parent / "report.jsonl"
    status = main(["data", "check", *map(str, arguments), "--report", str(report), "--workers", "1"])

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    lines = report.read_text(encoding="utf-8").splitlines()
    return status, [json.loads(line, parse_constant=refuse) for line in lines]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The check of a bare folder keeps its verdicts under the current directory.
    monkeypatch.chdir(tmp_path)


def test_one_run_tells_of_every_bad_file(folder: Path) -> None:
    status, rows = _simcrop(folder, folder)
    assert {(Path(row["file"]).name, row["code"]) for row in rows} == {(name, code) for name, (_, code) in BAD.items()}
    assert status == 1
    for row in rows:
        assert set(row) == KEYS
        assert row["severity"] == "error"
        assert "\n" not in row["message"] + row["hint"]
        assert isinstance(row["values"], dict)


@pytest.mark.parametrize(
    ("damage", "status", "severities"),
    [
        (None, 0, []),
        (field((123, "B", (0,))), 0, ["note"]),
        (field((112, "f", (0,))), 1, ["error"]),
    ],
)
def test_the_status_is_1_if_and_only_if_there_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: FileDamage | None, status: int, severities: list[str]
) -> None:
    data = Hospital.made_in(tmp_path / "data")
    if damage is not None:
        damage(data.victim)
    write_table(data.table, data.rows)
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{source: manifest, manifest: {data.table}, prepared: {tmp_path / 'cache'}}}\n")
    for what in (config, data.root):
        found, rows = _simcrop(data.root, what)
        # The table is no volume of a bare folder, which says so.
        passed_over = [Path(row["file"]) for row in rows if row["code"] == "set.passed_over"]
        assert passed_over == ([data.table] if what == data.root else [])
        told = [row["severity"] for row in rows if row["code"] != "set.passed_over"]
        assert (found, told) == (status, severities)
    assert "4 volumes: " in capsys.readouterr().out


def test_values_are_json_even_where_numbers_are_none(tmp_path: Path) -> None:
    for name, offset, value in (("pixdim", 80, float("inf")), ("slope", 112, float("nan")), ("sform", 280, 1e38)):
        path = tmp_path / "data" / f"{name}.nii.gz"
        write(path, synthetic_chest())
        field((offset, "f", (value,)))(path)
    write(tmp_path / "data/nan.nii.gz", synthetic_chest().astype("f4") * float("nan"))
    _, rows = _simcrop(tmp_path / "data", tmp_path / "data")
    values = {Path(row["file"]).name: row["values"] for row in rows if row["code"] != "set.duplicate"}
    assert values["pixdim.nii.gz"] == {"pixdim": ["inf", 8.0, 10.0]}
    assert values["slope.nii.gz"]["slope"] == "nan"
    assert len(values) == 4


def test_odd_file_names_are_shown_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["[red]x[bold].nii.gz", "line\nbreak.nii.gz", "\x1b[31mescape.nii.gz", os.fsdecode(b"latin\xe9.nii.gz")]
    (tmp_path / "data").mkdir()
    for name in names:
        (tmp_path / "data" / name).write_bytes(b"")
        status, rows = _simcrop(tmp_path / "data", tmp_path / "data")
        assert status == 1
        assert str(tmp_path / "data" / name) in {row["file"] for row in rows}
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert len(out.splitlines()) == 3
        (tmp_path / "data" / name).unlink()


def test_nothing_is_cut_where_there_is_no_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    packed(lambda data: data[:-3])(folder / "a.nii.gz")
    main(["data", "check", str(folder), "--workers", "1"])
    assert "a.nii.gz: is cut off (its gzip data has no end)\n" in capsys.readouterr().out


def test_what_a_spreadsheet_did_to_a_table_is_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    data = Hospital.made_in(tmp_path / "data")
    rows = [row | {"patient_id": "nan", "split": ""} for row in data.rows]
    rows[1]["nodule"] = ""
    write_table(data.table, [*rows, dict.fromkeys(rows[0], ""), rows[0] | {"volume": ""}])
    data.table.write_bytes(data.table.read_text(encoding="utf-8").replace(",", ";").encode("utf-16"))
    config = tmp_path / "run.yaml"
    config.write_text(f"data: {{source: manifest, manifest: {data.table}, prepared: {tmp_path / 'cache'}}}\n")
    assert main(["data", "check", str(config), "--workers", "1", "--set", "data.validation_fraction=0.1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[::2]] == [
        ["error", "text.value"],
        ["note", "text.blank_rows"],
        ["note", "text.blank_id"],
        ["note", "set.nothing_held_out"],
        ["reports:", "3.0"],
        ["labels,", "yes/no/unknown:"],
    ]
    assert lines[9] == "patients: 0 of 4 held out"
    assert lines[10] == "labels, yes/no/unknown: nodule 2/1/1, effusion 2/2/0"
    assert "reports.csv: line 7 has other cells and no volume" in lines[0]
    assert "reports.csv: has no patient_id in 4 rows (the first is line 2)" in lines[4]
    assert "no study is held out of 4" in lines[6]
    assert lines[11].startswith("4 volumes: 1 error, 3 notes")


def test_the_summary_fits_80_columns_errors_first_totals_last(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    write(folder / "mask.nii.gz", (synthetic_chest() > 0).astype("u1"))
    packed(lambda data: data[:-3])(folder / "a.nii.gz")
    packed(lambda data: data[:-3])(folder / "z.nii.gz")
    main(["data", "check", str(folder), "--workers", "1"])
    *lines, total = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert total == "10 volumes: 9 errors, 1 note; --report FILE.jsonl lists all"
    codes, hints = lines[::2], lines[1::2]
    assert codes[0] == "error  container.truncated  3 files, such as a.nii.gz: is cut off (its gzip d..."
    assert hints[0] == "       -> download it again"
    assert [line.split()[0] for line in codes] == ["error"] * 7 + ["note"]
    assert codes[-1].startswith("note   content.mask         1 file, mask.nii.gz: holds whole numbers up to 1")
    assert all(hint.startswith("       -> ") for hint in hints)


def test_what_is_passed_over_is_counted_in_the_last_line_and_named_in_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        write_series(tmp_path / "data" / name, change=lambda dataset, _, name=name: setattr(dataset, "PatientID", name))
        (tmp_path / "data" / name / "README").write_text("text")
    (tmp_path / "data/notes.txt").write_text("text")
    for _ in range(2):  # the second time from what is remembered
        status, rows = _simcrop(tmp_path / "data", tmp_path / "data")
        assert status == 0
        assert (
            capsys.readouterr().out.splitlines()[-1].startswith("2 volumes: 0 errors, 3 notes, 3 files passed over; ")
        )
        named = {str(Path(row["file"]).relative_to(tmp_path / "data")) for row in rows if "passed" in row["code"]}
        assert named == {"notes.txt", "a/README", "b/README"}
    write_series(tmp_path / "two/more", HU[:3], change=lambda dataset, _: setattr(dataset, "SeriesInstanceUID", "1.9"))
    write_series(tmp_path / "two")
    for path in (tmp_path / "two/more").iterdir():
        path.rename(tmp_path / f"two/b{path.name}")
    _simcrop(tmp_path / "two", tmp_path / "two")
    *lines, total = capsys.readouterr().out.splitlines()
    assert "3 files passed over" in total
    assert any("1 file, two#1.9: is another series" in line for line in lines)


def test_what_lies_beside_two_volumes_of_a_folder_is_counted_once_and_the_volumes_not_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    for uid in ("1.2.40", "1.2.41"):
        write_series(tmp_path / uid, change=lambda dataset, _, uid=uid: setattr(dataset, "SeriesInstanceUID", uid))
        for path in (tmp_path / uid).iterdir():
            path.rename(tmp_path / f"data/{uid}_{path.name}")
    (tmp_path / "data/README").write_text("text")
    _, rows = _simcrop(tmp_path / "data", tmp_path / "data")
    assert [Path(row["file"]).name for row in rows if row["code"] == "set.passed_over"] == ["README"]
    total = capsys.readouterr().out.splitlines()[-1]
    assert total.startswith("2 volumes: ")
    assert "1 file passed over" in total


def test_the_last_lines_say_what_a_list_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged volume on the list is no error; a list that cannot be read is one."""
    data = Hospital.made_in(tmp_path / "data")
    data.victim.write_bytes(b"")
    write_table(data.table, data.rows)
    (tmp_path / "list.csv").write_text("study_id\ns0\nscans/3.nii.gz\ns9\n")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"data: {{source: manifest, manifest: {data.table}, prepared: {tmp_path / 'cache'}, "
        f"exclude: {tmp_path / 'list.csv'}}}\n"
    )
    found, rows = _simcrop(data.root, config)
    assert (found, [row["code"] for row in rows]) == (0, [])
    *_, line, last = capsys.readouterr().out.splitlines()
    volumes = "scans/3.nii.gz, scans/0.nii.gz"
    ending = f"leaves out 2 volumes ({volumes}); 1 of its 3 names match nothing here (s9)"
    assert line == f"data.exclude: {tmp_path / 'list.csv'} {ending}"
    assert last.startswith("2 volumes: 0 errors, 0 notes")
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    assert _simcrop(data.root, config)[0] == 1
    assert "has no column of names to leave out" in capsys.readouterr().out
