"""What the commands of `simcrop eval` have in common."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simcrop.adapters.config.run import RunConfig


def label_settings(
    config: Path, labels: float | None, protocol: str | None, overrides: list[str] | None
) -> "RunConfig":
    """The configuration with the options of the command, which win over `--set`."""
    from simcrop.adapters.config.settings import load_config

    options = {"labels.percent": labels, "labels.protocol": protocol}
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    return load_config(config, [*(overrides or []), *given])


def evaluation_folder(out: Path | None, name: str, task: str) -> Path:
    """Where the result goes, made where it is missing: as asked for, or runs/NAME/eval/TASK.

    Raises:
        ConfigError: it cannot be made or written to, which is better known before hours of computing.
    """
    from simcrop.adapters.system.files import make_folder

    folder = out or Path("runs") / name / "eval" / task
    make_folder(folder)
    return folder
