"""The rows of a day: kept, resumed, estimated, and written with their error where they fail."""

import time
from pathlib import Path

import pytest
from gpu_stages.day import Day, DeviceLostError, read_rows


def day(out: Path, seconds: float = 100, **options: object) -> Day:
    return Day(out, time.time() + seconds, **options)


def test_a_row_is_written_at_once_and_not_measured_again(tmp_path: Path) -> None:
    measured: list[int] = []

    def measure() -> dict[str, float]:
        measured.append(1)
        return {"ms": 2.5}

    for _ in range(2):
        day(tmp_path).row("ops", "first", measure, kind="ops", guess=1)
    assert len(measured) == 1
    (row,) = read_rows(tmp_path)
    assert (row["stage"], row["name"], row["ms"]) == ("ops", "first", 2.5)
    assert not (tmp_path / "running.json").exists()


def test_a_row_that_raises_is_recorded_and_the_next_is_measured(tmp_path: Path) -> None:
    a_day = day(tmp_path)
    a_day.row("ops", "bad", lambda: {"ms": 1 / 0}, kind="ops", guess=1)
    a_day.row("ops", "good", lambda: {"ms": 1}, kind="ops", guess=1)
    bad, good = read_rows(tmp_path)
    assert bad["error"] == "ZeroDivisionError: division by zero"
    assert "1 / 0" in "".join(bad["traceback"])
    assert good["ms"] == 1


def test_no_row_is_begun_that_would_not_end_in_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_day = day(tmp_path, seconds=10)
    a_day.row("ops", "long", lambda: {}, kind="long", guess=60)
    a_day.row("ops", "short", lambda: {}, kind="short", guess=1)
    a_day.say_left_out("ops")
    assert [row["name"] for row in read_rows(tmp_path)] == ["short"]
    assert "no time left for 1 rows, the first of them long" in capsys.readouterr().out


@pytest.mark.parametrize(("left", "begun"), [(100, ["limits"]), (10, [])])
def test_what_other_rows_need_may_take_until_the_end_of_all(left: float, begun: list[str], tmp_path: Path) -> None:
    a_day = day(tmp_path, seconds=10, ends=time.time() + left)
    a_day.row("ceilings", "limits", lambda: {}, kind="limits", guess=60, is_needed=True)
    assert [row["name"] for row in read_rows(tmp_path)] == begun


def test_what_rows_took_is_what_the_next_are_expected_to_take(tmp_path: Path) -> None:
    a_day = day(tmp_path)
    assert a_day.expected("ops", 7) == 7
    a_day.rows = [{"kind": "ops", "seconds": s} for s in (50, 2, 3, 1)] + [{"kind": "ops", "seconds": 99, "error": ""}]
    assert a_day.expected("ops", 7) == 3
    assert a_day.expected("other", 7) == 7


def test_a_lost_device_ends_the_process_after_its_row_is_written(tmp_path: Path) -> None:
    with pytest.raises(DeviceLostError, match="bad"):
        day(tmp_path, is_lost=lambda: True).row("ops", "bad", lambda: {"ms": 1 / 0}, kind="ops", guess=1)
    assert "error" in read_rows(tmp_path)[0]


def test_a_line_that_was_cut_off_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"stage": "ops", "name": "a"}\n{"stage": "op')
    assert [row["name"] for row in day(tmp_path).rows] == ["a"]
