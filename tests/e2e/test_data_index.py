"""From an export of an archive to a trained model, by commands alone: index, check, prepare, train."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import ENVIRONMENT
from support.pacs_export import Export, write_export
from support.tiny_data import CONFIG

from simcrop_cli.__main__ import main

FINDINGS = (
    "Trakea açık. Sol üst lobda {number} mm çapında nodül izlendi. Plevral efüzyon saptanmadı. Kalp boyutu doğaldır."
)
HEAD = "Erişim No;Hasta;Bulgular;Sonuç"
ON = ("--on", "accession_number=Erişim No", "--text-columns", "Bulgular,Sonuç")
STEPS = ("--set", "train.steps=2", "--set", "train.warmup_steps=1", "--set", "train.picture_every=2")


def write_reports(path: Path, export: Export, encoding: str) -> int:
    """A table as Turkish Excel saves it, half of it without the zeros in front of its numbers.

    Returns:
        Its reports, of which the last two fit no study.
    """
    numbers = [*export.accessions.values(), "99999", ""]
    rows = [
        f'{number.lstrip("0") if place % 2 else number};Y. A.;"{FINDINGS.format(number=3 + place)}";"{place}. nodül."'
        for place, number in enumerate(numbers)
    ]
    path.write_bytes("\r\n".join([HEAD, *rows, ""]).encode(encoding))
    return len(rows)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_through(folder: Path, num_studies: int, encoding: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Index, check, prepare and train an export, with nothing done by hand in between."""
    export = write_export(folder / "export", num_studies)
    reports, out = folder / "reports.csv", folder / "export/table.csv"
    num_reports = write_reports(reports, export, encoding)
    num_files = export.files
    assert (
        main(["data", "index", str(export.root), "--out", str(out), "--reports", str(reports), *ON, "--best-only"]) == 0
    )

    told = capsys.readouterr().out
    rows, left_out = rows_of(out), rows_of(folder / "export/table.left_out.csv")
    assert sum(int(row["num_files"]) for row in rows) + sum(int(row["files"]) for row in left_out) == num_files
    assert f"files: {num_files:,} = " in told
    wanted = {study: series for study, series in export.best.items() if series and study in export.accessions}
    assert {row["study_id"]: row["series"] for row in rows} == wanted
    assert all(row["accession_number"] == export.accessions[row["study_id"]] for row in rows)
    places = {study: place for place, study in enumerate(export.accessions)}
    assert all(row["findings"] == FINDINGS.format(number=3 + places[row["study_id"]]) for row in rows)
    by_kind = {
        kind: [row["reason"] for row in left_out if row["kind"] == kind] for kind in ("file", "volume", "report")
    }
    assert {reason: by_kind["file"].count(reason) for reason in by_kind["file"]} == export.left_out
    assert len(rows) + len(by_kind["volume"]) == export.volumes
    assert len(by_kind["report"]) == 2
    assert f"reports: {num_reports:,} = {num_reports - 2:,} joined + 0 repeated + 2 left out" in told

    problems = folder / "problems.jsonl"
    assert main(["data", "check", str(out.with_suffix(".yaml")), "--report", str(problems)]) == 0
    checked = capsys.readouterr().out
    assert f"{len(rows)} volumes: 0 errors" in checked
    num_left_out = sum(int(row["files"]) for row in left_out if row["kind"] == "volume")
    noted = {row["code"]: row for row in map(json.loads, problems.read_text(encoding="utf-8").splitlines())}
    assert noted["set.left_out"]["values"] == {"files": num_left_out}
    assert Path(noted["set.left_out"]["file"]).name == "table.left_out.csv"
    assert "set.file_without_row" not in noted
    config = folder / "tiny.yaml"
    config.write_text(CONFIG.format(manifest=out, prepared=folder / "prepared"), encoding="utf-8")
    assert main(["data", "prepare", str(config)]) == 0
    assert len(list((folder / "prepared").glob("grid_*/[!.]*.npy"))) == len(rows)
    assert main(["train", str(config), "--out", str(folder / "run"), *STEPS]) == 0
    assert (folder / "run/summary.json").is_file()


def test_an_export_is_trained_on_with_nothing_done_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_through(tmp_path, 12, "utf-16", capsys)


@pytest.mark.slow
def test_an_export_of_200_studies_is_trained_on_with_nothing_done_by_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_through(tmp_path, 200, "cp1254", capsys)


def test_an_index_that_is_killed_again_and_again_ends_in_the_same_bytes(tmp_path: Path) -> None:
    export = write_export(tmp_path / "export", 12)
    command = [sys.executable, "-m", "simcrop_cli", "data", "index", str(export.root), "--workers", "2", "--out"]
    started = time.monotonic()
    subprocess.run([*command, tmp_path / "a.csv"], check=True, capture_output=True, env=ENVIRONMENT)
    seconds = time.monotonic() - started
    moments = random.Random(0)
    for _ in range(2):
        with subprocess.Popen([*command, tmp_path / "b.csv"], stderr=subprocess.DEVNULL, env=ENVIRONMENT) as process:
            time.sleep(moments.uniform(0.3, 1.0) * seconds)
            process.send_signal(signal.SIGKILL)
    subprocess.run([*command, tmp_path / "b.csv"], check=True, capture_output=True, env=ENVIRONMENT)
    for end in (".csv", ".left_out.csv"):
        assert (tmp_path / f"b{end}").read_bytes() == (tmp_path / f"a{end}").read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--reports", "r.csv"], "simcrop: --reports and --on go together"),
        (["--reports", "r.csv", "--on", "study_id"], "simcrop: r.csv: does not exist"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "export").mkdir()
    assert main(["data", "index", str(tmp_path / "export"), "--out", str(tmp_path / "t.csv"), *options]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(message)
