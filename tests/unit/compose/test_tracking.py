"""The trackers of a run: opened before it, ended as it ends."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from support.tracking import own_environment, values_of, wandb_runs
from support.trained_run import Setting
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.tracking.service import Record
from simcrop.compose.tracking import require_packages, tracking
from simcrop.core.errors import ConfigError, DataError


@pytest.fixture
def offline() -> Iterator[None]:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    with own_environment(WANDB_MODE="offline"):
        yield


def config(*trackers: str) -> RunConfig:
    return replace(RunConfig(), train=replace(RunConfig().train, trackers=trackers))


def status(out: Path) -> str | None:
    record = Record.read(Record.file(out, "wandb"))
    return None if record is None else record.status


@pytest.mark.usefixtures("offline")
def test_a_run_ends_in_its_trackers_as_it_ends(tmp_path: Path) -> None:
    out, seen = tmp_path / "run", list[str | None]()
    with tracking(config("wandb"), out, is_writer=True, is_continued=False) as trackers:
        seen.append(status(out))
        trackers.is_finished = True
    seen.append(status(out))
    with tracking(config("wandb"), out, is_writer=True, is_continued=True):
        pass
    seen.append(status(out))
    for error in (DataError("a damaged scan"), SystemExit(130)):
        with (
            pytest.raises(type(error)),
            tracking(config("wandb"), out, is_writer=True, is_continued=True),
        ):
            raise error
        seen.append(status(out))
    assert seen == ["running", "finished", "stopped", "failed", "stopped"]
    assert len({run.run_id for part in wandb_runs(out) for run in part["run"]}) == 1


@pytest.mark.usefixtures("offline")
def test_only_the_rank_that_writes_has_trackers(tmp_path: Path) -> None:
    with tracking(config("tensorboard", "wandb"), tmp_path, is_writer=False, is_continued=False) as trackers:
        assert trackers.sinks == []
        trackers.show("curves", 1, Figure(), tmp_path / "curves.png")
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_is_one_of_them(tmp_path: Path) -> None:
    with tracking(config("tensorboard"), tmp_path / "with", is_writer=True, is_continued=False) as trackers:
        [events] = trackers.sinks
        events.write({"step": 1, "loss": 0.5})
        trackers.show("curves", 1, Figure(), tmp_path / "curves.png")
        events.close()
    tags = EventAccumulator(str(tmp_path / "with")).Reload().Tags()
    assert (tags["scalars"], tags["images"]) == (["loss"], ["pictures/curves"])
    with tracking(config(), tmp_path / "without", is_writer=True, is_continued=False) as trackers:
        assert trackers.sinks == []
        trackers.show("curves", 1, Figure(), tmp_path / "curves.png")
    assert not (tmp_path / "without").exists()


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_library_is_refused_before_anything_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    refused = pytest.raises(ConfigError, match=rf"^train\.trackers: {name} needs .*pip install 'simcrop\[{name}\]'")
    with refused:
        require_packages(config("tensorboard", name))
    with refused, tracking(config(name), tmp_path / "run", is_writer=True, is_continued=False):
        pass
    assert not (tmp_path / "run").exists()
    require_packages(config("tensorboard"))


@pytest.mark.usefixtures("offline")
def test_a_finished_run_is_sent_once_to_a_tracker_that_lacks_it(done: Setting, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(done.out, out)
    assert done.train(out, "train.trackers=[wandb]").finished
    [part] = wandb_runs(out)
    assert [values_of(row.item)["step"] for row in part["history"]] == [1, 2, 3, 4]
    assert status(out) == "finished"
    assert done.train(out, "train.trackers=[wandb]").finished
    assert len(wandb_runs(out)) == 1
