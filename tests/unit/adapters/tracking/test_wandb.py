"""A run in Weights & Biases, offline: what W&B would send later."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.tracking import own_environment, values_of, wandb_runs

from simcrop.adapters.tracking.service import RunAbout
from simcrop.adapters.tracking.wandb import WandbService

pytest.importorskip("wandb", reason="needs the extra wandb")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    with own_environment(WANDB_MODE="offline"):
        yield


def service(out: Path, **settings: Any) -> WandbService:
    return WandbService(RunAbout("chests", out, {"train.lr": 0.001, **settings}))


def test_everything_of_a_run_is_in_its_folder(tmp_path: Path) -> None:
    ours = service(tmp_path)
    begun = ours.begin(None)
    assert begun.last_step is None
    [folder] = (tmp_path / "wandb").glob("offline-run-*")
    assert ours.where == f"offline, {folder}"
    ours.write([{"step": step, "loss": 1 / step} for step in (1, 2)])
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    ours.picture("curves", 2, tmp_path / "picture.png")
    (tmp_path / "config.yaml").write_text("seed: 0\n")
    ours.file(tmp_path / "config.yaml")
    ours.end("finished", {"probe_auroc": 0.75}, 2)
    [part] = wandb_runs(tmp_path)
    assert [(run.run_id, run.display_name, run.project) for run in part["run"]] == [(begun.run_id, "chests", "simcrop")]
    assert values_of(part["config"][0].update)["train.lr"] == 0.001
    rows = [values_of(row.item) for row in part["history"]]
    assert [(row["step"], row.get("loss")) for row in rows] == [(1, 1.0), (2, 0.5), (2, None)]
    [picture] = (folder / "files" / "media" / "images" / "pictures").glob("curves*.png")
    assert picture.read_bytes() == (tmp_path / "picture.png").read_bytes()
    assert (folder / "files" / "config.yaml").read_text() == "seed: 0\n"
    assert {metric.name or metric.glob_name: metric.step_metric for metric in part["metric"]} == {
        "step": "",
        "*": "step",
    }
    summary: dict[str, Any] = {}
    for each in part["summary"]:
        summary |= values_of(each.update)
    assert (summary["probe_auroc"], summary["step"]) == (0.75, {"max": 2})
    assert [end.exit_code for end in part["exit"]] == [0]


@pytest.mark.parametrize(("status", "preempted"), [("stopped", True), ("failed", False)])
def test_a_run_is_taken_up_under_its_id(tmp_path: Path, status: Any, preempted: bool) -> None:
    first = service(tmp_path)
    run_id = first.begin(None).run_id
    first.write([{"step": 1, "loss": 1.0}])
    first.end(status, {}, 1)
    again = service(tmp_path, **{"train.lr": 0.002})
    assert again.begin(run_id).run_id == run_id
    again.write([{"step": 2, "loss": 0.5}])
    again.end("finished", {}, 2)
    parts = wandb_runs(tmp_path)
    assert [run.run_id for part in parts for run in part["run"]] == [run_id] * 2
    assert ["preempting" in part for part in parts] == [preempted, False]
    assert [end.exit_code for part in parts for end in part["exit"]] == [1, 0]
    assert [values_of(row.item)["step"] for part in parts for row in part["history"]] == [1, 2]


def test_the_environment_names_project_and_folder(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    with own_environment(WANDB_PROJECT="lungs", WANDB_DIR=str(tmp_path / "kept")):
        ours = service(tmp_path / "run")
        ours.begin(None)
        ours.end("finished", {}, 0)
    [part] = wandb_runs(tmp_path / "kept")
    assert [run.project for run in part["run"]] == ["lungs"]


def test_a_login_that_is_missing_is_an_error(tmp_path: Path) -> None:
    address = "http://127.0.0.1:9"
    with own_environment(WANDB_MODE="online", WANDB_API_KEY="", WANDB_BASE_URL=address, HOME=str(tmp_path)):
        ours = service(tmp_path)
        assert ours.where == address
        with pytest.raises(Exception, match="No API key configured"):
            ours.begin(None)


def test_disabled_is_told_and_keeps_nothing(tmp_path: Path) -> None:
    with own_environment(WANDB_MODE="disabled"):
        ours = service(tmp_path)
        ours.begin(None)
        ours.write([{"step": 1, "loss": 1.0}])
        assert ours.where == "disabled by WANDB_MODE"
        ours.end("finished", {}, 1)
    assert list(tmp_path.iterdir()) == []
