"""A run in MLflow: in the database that is made beside the run folders."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.tracking import own_environment

from simcrop.adapters.tracking.mlflow import MlflowService
from simcrop.adapters.tracking.service import RunAbout, reason
from simcrop.core.errors import ConfigError

pytest.importorskip("mlflow", reason="needs the extra mlflow")
SETTINGS = {
    "seed": 0,
    "train.lr": 0.001,
    "data.quarantine": [],
    "text_encoder.source": "scratch",
    "model.windows": None,
}


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    with own_environment():
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run folders; its database takes seconds to make, and is made once."""
    return tmp_path_factory.mktemp("runs")


def service(runs: Path, **settings: Any) -> MlflowService:
    return MlflowService(RunAbout("chests", runs / "one", SETTINGS | settings))


def client(runs: Path) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{runs / 'mlflow.db'}")


def history(runs: Path, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client(runs).get_metric_history(run_id, key)]


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Metrics of each request, or ten times its parameters; a server takes 1000 metrics or 100 parameters."""
    from mlflow.tracking import MlflowClient

    send, seen = MlflowClient.log_batch, list[int]()

    def log_batch(self: Any, run_id: str, **lists: Any) -> None:
        seen.extend(len(items) * (1 if kind == "metrics" else 10) for kind, items in lists.items())
        send(self, run_id, **lists)

    monkeypatch.setattr(MlflowClient, "log_batch", log_batch)
    return seen


def test_everything_of_a_run_is_in_the_local_database(runs: Path, tmp_path: Path, sizes: list[int]) -> None:
    ours = service(runs, **{"train.many": list(range(4000))}, **{f"labels.{i}": i for i in range(150)})
    begun = ours.begin(None)
    assert begun.last_step == 0
    ours.write([{"step": step, **{f"loss_{key}": key / step for key in range(300)}} for step in range(1, 9)])
    for name in ("config.yaml", "step_00000008_curves.png"):
        (tmp_path / name).write_text("x")
    ours.file(tmp_path / "config.yaml")
    ours.picture("curves", 8, tmp_path / "step_00000008_curves.png")
    ours.end("finished", {"probe_auroc": 0.75}, 8)
    assert len(sizes) == 2 + 3 + 1
    assert max(sizes) <= 1000
    run = client(runs).get_run(begun.run_id)
    assert (run.info.run_name, run.info.status) == ("chests", "FINISHED")
    assert client(runs).get_experiment(run.info.experiment_id).name == "simcrop"
    assert run.data.params["train.lr"] == "0.001"
    assert run.data.params["data.quarantine"] == "[]"
    assert run.data.params["text_encoder.source"] == "scratch"
    assert run.data.params["model.windows"] == "null"
    assert len(run.data.params["train.many"]) == 6000
    assert len(run.data.params) == len(SETTINGS) + 151
    assert history(runs, begun.run_id, "loss_299") == [(step, 299 / step) for step in range(1, 9)]
    assert history(runs, begun.run_id, "step") == [(step, step) for step in range(1, 9)]
    assert history(runs, begun.run_id, "probe_auroc") == [(8, 0.75)]
    files = [file.path for folder in (None, "pictures") for file in client(runs).list_artifacts(begun.run_id, folder)]
    assert files == ["config.yaml", "pictures", "pictures/step_00000008_curves.png"]
    assert sorted(path.name for path in runs.iterdir()) == ["mlflow.db", "mlflow_files"]


@pytest.mark.parametrize(("status", "shown"), [("stopped", "KILLED"), ("failed", "FAILED")])
def test_a_run_is_taken_up_under_its_id(runs: Path, status: Any, shown: str) -> None:
    first = service(runs)
    run_id = first.begin(None).run_id
    first.write([{"step": 3, "loss": 1.5}])
    first.end(status, {}, 3)
    assert client(runs).get_run(run_id).info.status == shown
    again = service(runs, **{"train.lr": 0.002, "train.new": True})
    begun = again.begin(run_id)
    assert (begun.run_id, begun.last_step) == (run_id, 3)
    run = client(runs).get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params["train.new"] == "true"
    assert (run.data.params["train.lr"], run.data.tags["train.lr"]) == ("0.001", "0.002")
    service(runs).begin(run_id)
    assert client(runs).get_run(run_id).data.tags["train.lr"] == "0.001"


def test_a_run_that_is_not_there_begins_anew(runs: Path) -> None:
    deleted = service(runs).begin(None).run_id
    client(runs).delete_run(deleted)
    for run_id in ("0" * 32, deleted):
        begun = service(runs).begin(run_id)
        assert begun.run_id not in (run_id, deleted)
        assert begun.last_step == 0


def test_only_a_run_that_counts_as_running_is_abandoned(runs: Path) -> None:
    ours = service(runs)
    killed = ours.begin(None).run_id
    ended = ours.begin(None).run_id
    ours.end("finished", {}, 0)
    for run_id in (killed, ended, "0" * 32):
        ours.abandon(run_id)
    assert client(runs).get_run(killed).info.status == "KILLED"
    assert client(runs).get_run(ended).info.status == "FINISHED"


def test_the_environment_names_the_experiment(runs: Path) -> None:
    with own_environment(MLFLOW_EXPERIMENT_NAME="lungs"):
        first = client(runs).get_run(service(runs).begin(None).run_id)
    assert client(runs).get_experiment(first.info.experiment_id).name == "lungs"
    with own_environment(MLFLOW_EXPERIMENT_ID=first.info.experiment_id):
        second = client(runs).get_run(service(runs).begin(None).run_id)
    assert second.info.experiment_id == first.info.experiment_id


def test_a_server_that_is_not_there_is_told_at_once_without_its_password(runs: Path) -> None:
    with own_environment(MLFLOW_TRACKING_URI="http://ann:secret@127.0.0.1:9/track"):
        ours = service(runs)
        assert ours.where == "http://127.0.0.1:9/track"
        with pytest.raises(Exception, match="127") as raised:
            ours.begin(None)
    assert reason(raised.value) == "[Errno 111] Connection refused"


def test_without_a_database_of_its_own_a_server_has_to_be_named(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError, match=r"mlflow-skinny has no database .* name a server in MLFLOW_TRACKING_URI"):
        service(runs)
    with own_environment(MLFLOW_TRACKING_URI="http://127.0.0.1:9"):
        assert service(runs).where == "http://127.0.0.1:9"
