"""A run in Weights & Biases, online or offline as WANDB_MODE says."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcrop.adapters.tracking.service import Begun, Row, RunAbout, Status

if TYPE_CHECKING:
    from wandb import Run

_ENVIRONMENT = {
    "WANDB_SILENT": "true",
    "WANDB_CONSOLE": "off",  # a copy of the terminal would hold every state of the progress bar
    # Seconds; its own limits are a minute and a half to begin, and none to end.
    "WANDB_INIT_TIMEOUT": "15",
    "WANDB_FINISH_TIMEOUT": "20",
    "WANDB_X_TRANSACTION_LOG_FLUSH_INTERVAL": "2",  # seconds that a kill may cost an offline run, otherwise 15
    # Nothing about a run goes to anybody whom the user did not name.
    "WANDB_ERROR_REPORTING": "false",
}
"""Settings of W&B, where the environment has no others."""
_PROJECT = "simcrop"


class WandbService:
    """A TrackingService by W&B's library. Project: WANDB_PROJECT, otherwise `simcrop`.

    W&B counts by itself what it is given, and takes no count twice. So `step` is a number like others here, and the
    axis that they are drawn over: a run that goes back to a checkpoint may pass a step again.
    """

    name = "wandb"
    remedy = "log in by `wandb login`, set WANDB_MODE=offline"

    def __init__(self, about: RunAbout) -> None:
        for key, value in _ENVIRONMENT.items():
            os.environ.setdefault(key, value)
        self._about = about
        self._opened: Run | None = None

    @property
    def where(self) -> str:
        """The server, or the folder of an offline run."""
        if self._opened is not None and self._opened.disabled:
            return "disabled by WANDB_MODE"
        if self._opened is not None and self._opened.offline:
            return f"offline, {Path(self._opened.dir).parent}"
        return os.environ.get("WANDB_BASE_URL", "the server of W&B")

    @property
    def _run(self) -> "Run":
        assert self._opened is not None, "begin comes first"
        return self._opened

    def begin(self, run_id: str | None) -> Begun:
        """Open a run; offline, W&B does not know what it has of it."""
        import wandb

        about = self._about
        self._opened = run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=about.name,
            id=run_id,
            resume="allow",
            reinit="create_new",  # a run that the calling program has open is none of ours
            dir=os.environ.get("WANDB_DIR", str(about.folder)),
        )
        run.config.update(dict(about.settings), allow_val_change=True)
        run.define_metric("step", summary="max")
        run.define_metric("*", step_metric="step")
        return Begun(run.id, None if run.offline else _highest(run.summary.get("step")))

    def abandon(self, run_id: str) -> None:
        """Nothing: the server notices by itself that nobody writes any more."""

    def write(self, rows: Sequence[Row]) -> None:
        """Log each row."""
        for row in rows:
            self._run.log(dict(row))

    def picture(self, name: str, step: int, path: Path) -> None:
        """An image under `pictures/NAME`."""
        import wandb

        self._run.log({"step": step, f"pictures/{name}": wandb.Image(str(path))})

    def file(self, path: Path) -> None:
        """A file of the run."""
        self._run.save(str(path), base_path=str(path.parent), policy="now")

    def end(self, status: Status, summary: Mapping[str, float], step: int) -> None:
        """Add to the run's summary, and finish it; a stopped run counts as preempted."""
        self._run.summary.update(dict(summary))
        if status == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if status == "finished" else 1)


def _highest(step: Any) -> int:
    """From the summary of `step`: {"max": NUMBER}; nothing where no step was logged."""
    return 0 if step is None else int(step["max"])
