"""Every scan has its line."""

import json
from pathlib import Path

from simcrop.adapters.applying.journal import Entry, Journal
from simcrop.core.data.problems import problem

STAMP = {"name": "a.nii", "bytes": 3, "mtime_ns": 4}


def test_a_line_is_read_again_and_the_last_of_a_scan_counts(tmp_path: Path) -> None:
    path = tmp_path / "embed.jsonl"
    journal = Journal(path)
    bad = problem("b.nii", "container.empty", "is empty")
    journal.add(Entry("a.nii", "refused", 0.5, STAMP, bad))
    journal.add(Entry("a.nii", "done", 0.5, STAMP))
    journal.add(Entry("b.nii", "refused", 0.1, {}, bad))
    again = Journal(path)
    assert again.is_done("a.nii", STAMP)
    assert not again.is_done("a.nii", {**STAMP, "bytes": 5})
    assert not again.is_done("b.nii", {})
    assert not again.is_done("c.nii", {})
    assert again.refused(["a.nii", "b.nii", "c.nii"]) == [
        {
            "scan": "b.nii",
            "status": "refused",
            "code": "container.empty",
            "file": "b.nii",
            "message": "is empty",
            "seconds": 0.1,
            "source": {},
        }
    ]


def test_lines_that_a_kill_cut_off_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "embed.jsonl"
    Journal(path).add(Entry("a.nii", "done", 0.5, STAMP))
    with path.open("ab") as file:
        file.write(b'{"scan": "b.nii", "stat')
    journal = Journal(path)
    journal.add(Entry("c.nii", "done", 0.5, STAMP))
    assert [Journal(path).is_done(name, STAMP) for name in ("a.nii", "b.nii", "c.nii")] == [True, False, True]


def test_a_rewritten_journal_has_one_line_of_each_scan_in_order(tmp_path: Path) -> None:
    path = tmp_path / "embed.jsonl"
    journal = Journal(path)
    for name in ("b", "a", "b", "c"):
        journal.add(Entry(name, "done", 0.5, STAMP))
    journal.rewrite(["a", "b", "d"])
    assert [json.loads(line)["scan"] for line in path.read_text().splitlines()] == ["a", "b"]


def test_scans_that_look_unusual_are_told_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "scans.jsonl")
    note = problem("a.nii", "content.no_lung", "holds no lung")
    journal.add(Entry("a.nii", "done", 0.5, STAMP, notes=(note,)))
    journal.add(Entry("b.nii", "done", 0.5, STAMP))
    [row] = Journal(tmp_path / "scans.jsonl").unusual(["a.nii", "b.nii", "c.nii"])
    assert row["notes"] == [{"code": "content.no_lung", "file": "a.nii", "message": "holds no lung"}]
