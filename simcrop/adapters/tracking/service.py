"""The tracking services that a run can send its numbers to, and the id under which it finds itself there again."""

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from simcrop.adapters.system.files import replace_text
from simcrop.adapters.system.outside_files import read_json
from simcrop.core.errors import ConfigError, one_line

Row = Mapping[str, float | int]
Status = Literal["running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class RunAbout:
    """A run, as a service is told of it.

    Attributes:
        name: of the run.
        folder: of the run.
        settings: the resolved configuration: key with dots -> plain value.
    """

    name: str
    folder: Path
    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the settings that numbers may depend on."""
        ours = {key: value for key, value in self.settings.items() if key != "train.trackers"}
        return hashlib.sha256(json.dumps(ours, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Begun:
    """A run that a service has opened.

    Attributes:
        run_id: of the service.
        last_step: the highest step that it has; 0 for none, None where it cannot tell.
    """

    run_id: str
    last_step: int | None


class TrackingService(Protocol):
    """One run in a service. Every method may raise whatever its library raises, and may take as long as that takes."""

    name: str
    """As in `train.trackers`."""
    remedy: str
    """For a service that cannot be used, for messages."""

    @property
    def where(self) -> str:
        """The server or store, for messages; without a password."""
        ...

    def begin(self, run_id: str | None) -> Begun:
        """Open a run and hand over its settings; a new one for None, or where the service does not know the id."""
        ...

    def abandon(self, run_id: str) -> None:
        """Mark a run that nobody will continue as stopped, if it still counts as running."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Take rows of metrics.jsonl, every number under its key; each row has its `step`."""
        ...

    def picture(self, name: str, step: int, path: Path) -> None:
        """Take a PNG file."""
        ...

    def file(self, path: Path) -> None:
        """Keep a file of the run folder beside the run, in place of an earlier one of its name."""
        ...

    def end(self, status: Status, summary: Mapping[str, float], step: int) -> None:
        """Take the numbers of the summary, measured at `step`, and close the run with its status."""
        ...


@dataclass(frozen=True)
class Record:
    """The file `trackers/NAME.json` of a run folder: how far a service has followed the run.

    Attributes:
        run_id: of the service.
        step: up to which it certainly has the numbers.
        digest: of the settings behind them.
        status: as it was told last.
    """

    run_id: str
    step: int
    digest: str
    status: Status

    @staticmethod
    def file(folder: Path, name: str) -> Path:
        """Where the record of a service lies in a run folder."""
        return folder / "trackers" / f"{name}.json"

    @classmethod
    def read(cls, path: Path) -> "Record | None":
        """The record, or None where there is none.

        Raises:
            ConfigError: it is none that `write` has written.
        """
        try:
            return cls(**read_json(path))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: is no record of a tracker's run; remove it to begin a new one there") from error

    def write(self, path: Path) -> None:
        """Write it, whole or not at all. Raises OSError where the disk refuses."""
        path.parent.mkdir(exist_ok=True)
        replace_text(path, json.dumps(asdict(self), indent=1) + "\n")


def require_package(name: str) -> None:
    """Raise ConfigError where the library of a service, which has its name, is not installed."""
    if importlib.util.find_spec(name) is None:
        raise ConfigError(
            f"train.trackers: {name} needs the package {name}; pip install 'simcrop[{name}]', or leave {name} out"
        )


def reason(error: BaseException) -> str:
    """Why a service failed, in one line: what the system said at the bottom of it, or else the error itself."""
    root = error
    while (below := root.__cause__ or root.__context__) is not None:
        root = below
    told = root if isinstance(root, OSError) else error
    return one_line(Exception(str(told) or type(told).__name__))
