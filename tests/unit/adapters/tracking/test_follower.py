"""A service that follows a run: each step once, whatever happens to either."""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from support.tracking import FakeService

from simcrop.adapters.tracking.follower import Follower, Pace
from simcrop.adapters.tracking.metrics import JsonlMetrics
from simcrop.adapters.tracking.service import Record, RunAbout
from simcrop.core.errors import ConfigError

QUICK = Pace(gather=0.0, retry=0.01, retry_most=0.02, end=20.0)
SETTINGS = {"train.lr": 0.1, "train.trackers": ["fake"]}


def follower(
    service: FakeService, out: Path, *, is_continued: bool = False, lr: float = 0.1, pace: Pace = QUICK
) -> Follower:
    return Follower(service, RunAbout("run", out, SETTINGS | {"train.lr": lr}), is_continued=is_continued, pace=pace)


def train(sink: Follower, out: Path, steps: Iterable[int], *, after: int = 0) -> None:
    """What a run does: rewind, then a row a step, in its own file first."""
    rows = JsonlMetrics(out / "metrics.jsonl")
    rows.rewind(after)
    (out / "config.yaml").touch()
    sink.rewind(after)
    for step in steps:
        row = {"step": step, "loss": step / 2}
        rows.write(row)
        sink.write(row)
    rows.close()
    sink.close()


def wait_until(condition: object, *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def record(out: Path) -> Record:
    found = Record.read(Record.file(out, "fake"))
    assert found is not None
    return found


def test_a_run_arrives_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    service = FakeService()
    sink = follower(service, tmp_path)
    sink.open()
    train(sink, tmp_path, range(1, 121))
    sink.picture("curves", 120, Figure(), tmp_path / "step_00000120_curves.png")
    (tmp_path / "summary.json").write_text('{"step": 120, "loss": 60.0, "probe_auroc": 0.7}')
    sink.end("finished")
    assert service.rows == [{"step": step, "loss": step / 2} for step in range(1, 121)]
    assert service.files == ["config.yaml", "curves 120 step_00000120_curves.png", "summary.json"]
    assert service.ended == ("finished", {"probe_auroc": 0.7}, 120)
    assert record(tmp_path) == Record("new", 120, RunAbout("run", tmp_path, SETTINGS).digest, "finished")


@pytest.mark.parametrize(("last_step", "arriving"), [(7, [8, 9]), (None, [7, 8, 9]), (3, [4, 5, 6, 7, 8, 9])])
def test_a_resumed_run_goes_on_after_what_the_service_has(
    tmp_path: Path, last_step: int | None, arriving: list[int]
) -> None:
    """The checkpoint is of step 4; 6 were recorded, of the 7 that were sent before the kill; or an outage lost some."""
    first = follower(FakeService(), tmp_path)
    first.open()
    train(first, tmp_path, range(1, 7))
    first.end("stopped")
    assert record(tmp_path).step == 6
    service = FakeService(last_step)
    sink = follower(service, tmp_path, is_continued=True)
    sink.open()
    train(sink, tmp_path, range(5, 10), after=4)
    sink.end("finished")
    assert service.ids == ["new"]
    assert service.steps == arriving


def test_steps_after_the_checkpoint_are_sent_again_with_other_settings(tmp_path: Path) -> None:
    first = follower(FakeService(), tmp_path)
    first.open()
    train(first, tmp_path, range(1, 8))
    first.end("failed")
    service = FakeService(last_step=7)
    sink = follower(service, tmp_path, is_continued=True, lr=0.05)
    sink.open()
    train(sink, tmp_path, range(5, 10), after=4)
    sink.end("finished")
    assert service.ids == ["new"]
    assert service.steps == [5, 6, 7, 8, 9]


def test_a_service_that_is_added_later_gets_every_step(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(f'{{"step": {step}}}\n' for step in range(1, 5)))
    service = FakeService()
    sink = follower(service, tmp_path, is_continued=True)
    sink.open()
    train(sink, tmp_path, range(5, 7), after=4)
    sink.end("finished")
    assert service.steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(("lr", "run_id", "abandoned"), [(0.1, "new", []), (0.2, None, ["new"])])
def test_a_run_that_begins_anew_is_the_same_only_with_the_same_settings(
    tmp_path: Path, lr: float, run_id: str | None, abandoned: list[str]
) -> None:
    first = follower(FakeService(), tmp_path)
    first.open()
    train(first, tmp_path, [1, 2])
    first.end("stopped")
    service = FakeService(last_step=2)
    sink = follower(service, tmp_path, lr=lr)
    sink.open()
    train(sink, tmp_path, [1, 2, 3])
    sink.end("finished")
    assert service.ids == [run_id]
    assert service.abandoned == abandoned
    assert service.steps == ([3] if run_id else [1, 2, 3])


def test_a_service_that_goes_away_is_told_once_and_gets_what_it_missed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService()
    sink = follower(service, tmp_path)
    sink.open()
    service.is_away = True
    train(sink, tmp_path, range(1, 200))
    wait_until(lambda: service.refused > 5)
    service.is_away = False
    sink.end("finished")
    assert service.steps == list(range(1, 200))
    assert service.files == ["config.yaml"]
    [warning] = [entry.message for entry in caplog.records if entry.levelno == logging.WARNING]
    assert warning.startswith("fake: http://fake does not take what it is given (nobody is there); training goes on")


def test_a_service_that_stays_away_holds_nobody_up_and_is_resumed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    service = FakeService()
    sink = follower(service, tmp_path)
    sink.open()
    service.is_away = True
    train(sink, tmp_path, [1, 2])
    began = time.monotonic()
    sink.end("finished", seconds=0.2)
    assert time.monotonic() - began < 5
    told = "fake: http://fake has the steps up to 0, and not how the run ended; run the same command again"
    assert caplog.records[-1].message == f"{told} to send the rest"
    assert record(tmp_path).status == "running"
    again = FakeService(last_step=0)
    rest = follower(again, tmp_path, is_continued=True)
    rest.open()
    rest.rewind(2)
    rest.end("finished")
    assert again.steps == [1, 2]
    assert again.ids == ["new"]


def test_a_new_run_needs_its_service(tmp_path: Path) -> None:
    service = FakeService()
    service.is_away = True
    with pytest.raises(
        ConfigError, match=r"^train\.trackers: fake: http://fake cannot be used \(nobody is there\); mend"
    ):
        follower(service, tmp_path).open()


def test_a_continued_run_begins_without_its_service_and_takes_it_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = follower(FakeService(), tmp_path)
    first.open()
    train(first, tmp_path, [1, 2, 3])
    first.end("stopped")
    service = FakeService(last_step=3)
    service.is_away = True
    sink = follower(service, tmp_path, is_continued=True, lr=0.2)
    sink.open()
    assert "http://fake cannot be used (nobody is there); training goes on" in caplog.records[-1].message
    assert service.ids == []
    train(sink, tmp_path, [3, 4], after=2)
    wait_until(lambda: service.refused > 3)
    service.is_away = False
    sink.end("stopped")
    assert service.steps == [3, 4]
    assert service.ended == ("stopped", {}, 4)


def test_a_service_without_a_store_of_files_still_takes_numbers(tmp_path: Path) -> None:
    service = FakeService()
    service.has_no_files = True
    sink = follower(service, tmp_path)
    sink.open()
    train(sink, tmp_path, [1, 2])
    sink.end("finished")
    assert service.refused == 5
    assert service.steps == [1, 2]
    assert service.ended == ("finished", {}, 2)


def test_a_run_that_fails_before_its_first_step_is_ended(tmp_path: Path) -> None:
    service = FakeService()
    sink = follower(service, tmp_path)
    sink.open()
    sink.end("failed")
    assert service.ended == ("failed", {}, 0)
    assert record(tmp_path).status == "failed"
