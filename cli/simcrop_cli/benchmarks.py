"""Runs the benchmarks of the repository that this package was installed from."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from simcrop.core.errors import BackendError

_REPOSITORY = Path(__file__).parents[2]


def run_benchmarks(name: str | None, repository: Path = _REPOSITORY) -> int:
    """Run the benchmarks, or those that pytest selects by `name`; what they print goes to standard output.

    Returns:
        pytest's exit status.

    Raises:
        BackendError: the benchmarks or pytest-benchmark are not here.
    """
    folder = repository / "benchmarks"
    if not (folder / "measuring.py").is_file():
        raise BackendError(
            "simcrop bench: the benchmarks come with the repository, not with the installed package; clone it, and "
            "there: pip install -e '.[dev]'"
        )
    if find_spec("pytest_benchmark") is None:
        raise BackendError("simcrop bench: pytest-benchmark is not installed; pip install -e '.[dev]'")
    chosen = [] if name is None else ["-k", name]
    command = [sys.executable, "-m", "pytest", str(folder), "--benchmark-only", "-q", *chosen]
    return subprocess.run(command, cwd=repository, check=False).returncode
