"""The trackers of a run (`train.trackers`), from its beginning to its end, however it ends."""

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from simcrop.adapters.checkpoints.resume import leaves
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.system.files import make_folder
from simcrop.adapters.tracking.follower import Follower
from simcrop.adapters.tracking.service import Record, RunAbout, TrackingService, require_package
from simcrop.adapters.tracking.tensorboard import TensorBoardFigures, TensorBoardMetrics
from simcrop.core.ports import MetricSink

_AT_ONCE_SECONDS = 2.0
"""For a tracker that does not answer, where somebody asked twice to stop."""


class Trackers:
    """Where numbers and pictures of a run go besides its own files.

    Args:
        out: run folder.
        events: whether TensorBoard is among them.
        followers: of the services.
    """

    def __init__(self, out: Path, *, events: bool = False, followers: Sequence[Follower] = ()) -> None:
        self.sinks: list[MetricSink] = [*([TensorBoardMetrics(out)] if events else []), *followers]
        self._shows = [*([TensorBoardFigures(out)] if events else []), *(follower.picture for follower in followers)]
        self.is_finished = False
        """To be set once nothing of the run is left to do."""

    def show(self, name: str, step: int, figure: Figure, path: Path) -> None:
        """An `on_figure` of RunPictures."""
        for show in self._shows:
            show(name, step, figure, path)


def require_packages(config: RunConfig) -> None:
    """Raise ConfigError where the library of a tracker of the run is not installed."""
    for name in _services(config):
        require_package(name)


@contextmanager
def tracking(config: RunConfig, out: Path, *, is_writer: bool, is_continued: bool) -> Generator[Trackers]:
    """The trackers of a run, open while the block trains it; how the block ends is how they end the run.

    Args:
        config: of the run.
        out: run folder.
        is_writer: whether this is the rank that writes; the others have no tracker.
        is_continued: whether the run goes on from a checkpoint.

    Raises:
        ConfigError: a library is missing, or a service cannot be used.
    """
    require_packages(config)
    if not is_writer:
        yield Trackers(out)
        return
    followers = _followers(config, out, _services(config), is_continued=is_continued)
    trackers = Trackers(out, events="tensorboard" in config.train.trackers, followers=followers)
    with ExitStack() as stack:
        for follower in followers:
            follower.open()
            stack.push(partial(_end, follower, trackers))
        yield trackers


def send_the_rest(config: RunConfig, out: Path, step: int) -> None:
    """Give each tracker what it lacks of a finished run.

    Args:
        config: of the run.
        out: run folder.
        step: the last one.

    Raises:
        ConfigError: as for `tracking`.
    """
    records = {name: Record.read(Record.file(out, name)) for name in _services(config)}
    lacking = [name for name, record in records.items() if record is None or record.status != "finished"]
    for name in lacking:
        require_package(name)
    for follower in _followers(config, out, lacking, is_continued=True):
        follower.open()
        follower.rewind(step)
        follower.end("finished")


def _services(config: RunConfig) -> list[str]:
    return [name for name in config.train.trackers if name != "tensorboard"]


def _followers(config: RunConfig, out: Path, names: Sequence[str], *, is_continued: bool) -> list[Follower]:
    if names:
        make_folder(out)
    about = RunAbout(config.name, out, dict(leaves(as_tree(config))))
    return [Follower(_service(name, about), about, is_continued=is_continued) for name in names]


def _service(name: str, about: RunAbout) -> TrackingService:
    if name == "mlflow":
        from simcrop.adapters.tracking.mlflow import MlflowService

        return MlflowService(about)
    from simcrop.adapters.tracking.wandb import WandbService

    return WandbService(about)


def _end(follower: Follower, trackers: Trackers, kind: type[BaseException] | None, *_: object) -> None:
    if kind is None:
        follower.end("finished" if trackers.is_finished else "stopped")
    elif issubclass(kind, SystemExit | KeyboardInterrupt):
        follower.end("stopped", seconds=_AT_ONCE_SECONDS)
    else:
        follower.end("failed")
