"""Run an evaluation by its name, for the commands of `simcrop eval`."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from simcrop_cli.signals import stop

_MODULES = {"knn": "probe"}
"""Where an evaluation is, that has no module of its own name in simcrop.compose.evaluation."""


def evaluate(
    task: str,
    config: Path,
    checkpoint: str | None,
    out: Path | None,
    overrides: list[str] | None,
    options: Mapping[str, object] | None = None,
) -> None:
    """Run an evaluation by the configuration.

    The result goes where it is asked for, or into runs/NAME/eval/TASK. That folder is made first: it is better known
    before hours of computing that it cannot be.

    Args:
        task: name of the evaluation.
        config, checkpoint, out, overrides: as the command has them.
        options: keys of the configuration that the command has options of its own for; None where one is not given.
            They win over `overrides`.
    """
    from simcrop.adapters.config.settings import load_config
    from simcrop.adapters.system.files import make_folder

    given = [f"{key}={value}" for key, value in (options or {}).items() if value is not None]
    settings = load_config(config, [*(overrides or []), *given])
    evaluation = getattr(import_module(f"simcrop.compose.evaluation.{_MODULES.get(task, task)}"), task)
    folder = out or Path("runs") / settings.name / "eval" / task
    make_folder(folder)
    evaluation(settings, checkpoint=checkpoint, out=folder, should_stop=stop)
