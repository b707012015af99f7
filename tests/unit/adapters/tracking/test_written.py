"""Numbers that a run has written: whole rows only, and those of its summary."""

import json
from pathlib import Path

from simcrop.adapters.tracking.written import measured, rows_behind


def test_rows_are_read_on_from_a_place_without_null_and_without_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    assert list(rows_behind(path, 0, 2)) == []
    lines = ['{"step": 1, "loss": null}\n', '{"step": 2, "loss": 0.5}\n', '{"step": 3}\n']
    path.write_text("".join(lines) + '{"step": 4, "lo')
    first, second = len("".join(lines[:2])), len("".join(lines))
    parts = [([{"step": 1}, {"step": 2, "loss": 0.5}], first), ([{"step": 3}], second)]
    assert list(rows_behind(path, 0, 2)) == parts
    with path.open("a") as file:
        file.write('ss": 4}\n')
    assert list(rows_behind(path, second, 2)) == [([{"step": 4, "loss": 4}], path.stat().st_size)]


def test_the_summary_gives_numbers_that_no_row_has(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    assert measured(path) == {}
    path.write_text(
        json.dumps({"step": 9, "loss": 1.0, "validation_loss": 2.0, "probe_auroc": 0.7, "n": 3, "labels": {}})
    )
    assert measured(path) == {"probe_auroc": 0.7, "n": 3}
