"""Rows of numbers: one JSON object a line, TensorBoard, several sinks."""

import json
from pathlib import Path

import pytest
from support.power_cut import watched
from support.tiny import Rows

from simcrop.adapters.tracking.metrics import FanOut, JsonlMetrics


def read(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_on_disk_as_soon_as_they_are_written(tmp_path: Path) -> None:
    sink = JsonlMetrics(tmp_path / "run" / "metrics.jsonl")
    for step in (1, 2):
        sink.write({"step": step, "loss": 0.1 + 0.2})
        assert read(tmp_path / "run" / "metrics.jsonl")[-1] == {"step": step, "loss": 0.1 + 0.2}
    sink.close()


def test_rows_outlive_a_power_cut_from_the_end_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watched(tmp_path, monkeypatch)
    sink = JsonlMetrics(tmp_path / "run" / "metrics.jsonl")
    sink.write({"step": 1})
    assert disk.strict()["run/metrics.jsonl"] == b""
    sink.close()
    assert disk.strict()["run/metrics.jsonl"] == b'{"step": 1}\n'
    disk.close()


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("/dev/full")
    sink = JsonlMetrics(path)
    for refused in (lambda: sink.write({"step": 1}), sink.close):
        with pytest.raises(OSError, match="No space left on device") as error:
            refused()
        assert error.value.filename == str(path)


def test_rewind_drops_later_rows_and_a_torn_line_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "loss": 0.30000000000000004}\n{"step": 3}\n{"step": 1')
    sink = JsonlMetrics(path)
    sink.rewind(2)
    sink.write({"step": 3, "loss": 1.5})
    sink.close()
    assert path.read_text().splitlines() == [
        '{"step": 1}',
        '{"step": 2, "loss": 0.30000000000000004}',
        '{"step": 3, "loss": 1.5}',
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_value_that_is_not_finite_stays_valid_json(tmp_path: Path) -> None:
    sink = JsonlMetrics(tmp_path / "metrics.jsonl")
    sink.write({"step": 1, "validation_loss": float("nan")})
    sink.close()
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "validation_loss": null}\n'


def test_several_sinks_hear_the_same(tmp_path: Path) -> None:
    one, two = Rows(), Rows()
    sink = FanOut([one, two])
    for step in (1, 2):
        sink.write({"step": step})
    sink.rewind(1)
    sink.close()
    assert one.rows == two.rows == [{"step": 1}]
