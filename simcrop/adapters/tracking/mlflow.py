"""A run in MLflow: on the server that MLFLOW_TRACKING_URI names, or in a database beside the run folders."""

import getpass
import importlib.util
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from simcrop.adapters.tracking.service import Begun, Row, RunAbout, Status
from simcrop.core.errors import ConfigError

if TYPE_CHECKING:
    from mlflow.entities import Run

_ENVIRONMENT = {
    # MLflow's own limits let a call take minutes; the follower tries again by itself, and nobody waits for it.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Nothing about a run goes to anybody whom the user did not name.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of MLflow, where the environment has no others."""
_EXPERIMENT = "simcrop"
_STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_MOST_METRICS, _MOST_PARAMETERS, _LONGEST_VALUE = 1000, 100, 6000
"""MLflow's limits for one request, and for the text of a parameter."""


class MlflowService:
    """A TrackingService by MLflow's client. Experiment: MLFLOW_EXPERIMENT_NAME or _ID, otherwise `simcrop`.

    Raises:
        ConfigError: no server is named, and mlflow-skinny, which has no database, is all that is installed.
    """

    name = "mlflow"
    remedy = "start it, correct MLFLOW_TRACKING_URI"

    def __init__(self, about: RunAbout) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # it tells of every table that it makes
        self._about, self._run_id = about, ""
        self._beside = about.folder.absolute().parent
        is_set = mlflow.is_tracking_uri_set()
        if not is_set and importlib.util.find_spec("sqlalchemy") is None:
            raise ConfigError(
                "train.trackers: mlflow-skinny has no database of its own; pip install 'simcrop[mlflow]', or name a "
                "server in MLFLOW_TRACKING_URI"
            )
        self._uri = mlflow.get_tracking_uri() if is_set else f"sqlite:///{self._beside / 'mlflow.db'}"
        self._files = None if is_set else (self._beside / "mlflow_files").as_uri()
        self._opened: Any = None

    @property
    def where(self) -> str:
        """The tracking URI, without a password."""
        return re.sub(r"//[^/@]*@", "//", self._uri)

    @property
    def _client(self) -> Any:
        if self._opened is None:
            from mlflow.tracking import MlflowClient

            self._opened = MlflowClient(self._uri)
        return self._opened

    def begin(self, run_id: str | None) -> Begun:
        """Open a run; the highest step that MLflow has is the latest value of the metric `step`."""
        run = None if run_id is None else self._find(run_id)
        if run is None:
            run = self._client.create_run(self._experiment(), run_name=self._about.name, tags=self._tags())
        else:
            self._client.update_run(run_id, status=_STATUS["running"])
        self._run_id = run.info.run_id
        self._write_settings(run)
        return Begun(self._run_id, int(run.data.metrics.get("step", 0)))

    def abandon(self, run_id: str) -> None:
        """Mark it as killed."""
        run = self._find(run_id)
        if run is not None and run.info.status == _STATUS["running"]:
            self._client.set_terminated(run_id, _STATUS["stopped"])

    def write(self, rows: Sequence[Row]) -> None:
        """Log every number, `step` included."""
        # A request holds whole rows: whoever finds a step has all of its numbers.
        for part in _parts(rows, _MOST_METRICS // max(map(len, rows))):
            self._log_metrics([(key, value, int(row["step"])) for row in part for key, value in row.items()])

    def picture(self, name: str, step: int, path: Path) -> None:
        """An artifact in the folder `pictures`; the file's name tells the step."""
        self._client.log_artifact(self._run_id, str(path), "pictures")

    def file(self, path: Path) -> None:
        """An artifact at the top."""
        self._client.log_artifact(self._run_id, str(path))

    def end(self, status: Status, summary: Mapping[str, float], step: int) -> None:
        """Log the summary as metrics, and terminate the run."""
        if summary:
            self._log_metrics([(key, value, step) for key, value in summary.items()])
        self._client.set_terminated(self._run_id, _STATUS[status])

    def _tags(self) -> dict[str, str]:
        tags = {"mlflow.source.name": "simcrop train", "run_folder": str(self._about.folder.absolute())}
        with suppress(KeyError, OSError):  # a container may have no name for its user
            tags["mlflow.user"] = getpass.getuser()
        return tags

    def _experiment(self) -> str:
        if chosen := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return chosen
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name, artifact_location=self._files)
            except Exception:
                found = self._client.get_experiment_by_name(name)  # another run may have been quicker
                if found is None:
                    raise
        return found.experiment_id

    def _find(self, run_id: str) -> "Run | None":
        """A run that is there and was not deleted."""
        from mlflow.exceptions import MlflowException

        try:
            run: Run = self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        return run if run.info.lifecycle_stage == "active" else None

    def _write_settings(self, run: "Run") -> None:
        """Parameters; MLflow never changes one, so a setting that has changed becomes a tag of its name."""
        from mlflow.entities import Param, RunTag

        known, tagged = run.data.params, run.data.tags
        texts = {key: _text(value) for key, value in self._about.settings.items()}
        new = [Param(key, text) for key, text in texts.items() if key not in known]
        for part in _parts(new, _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, params=part)
        changed = [key for key in texts if key in known and (known[key] != texts[key] or key in tagged)]
        for part in _parts(changed, _MOST_PARAMETERS):
            self._client.log_batch(self._run_id, tags=[RunTag(key, texts[key]) for key in part])

    def _log_metrics(self, numbers: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, float(value), now, step) for key, value, step in numbers]
        self._client.log_batch(self._run_id, metrics=metrics)


T = TypeVar("T")


def _parts(items: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    return (items[start : start + most] for start in range(0, len(items), most))


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:_LONGEST_VALUE]
