"""The command line in a process of its own, as a stranger types it."""

import os
import subprocess
import sys
from pathlib import Path

from support import REPOSITORY

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def simcrop(*arguments: str | Path, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simcrop_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=ENVIRONMENT)
