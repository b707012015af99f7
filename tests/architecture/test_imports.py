"""Imports point inward: checked twice, by what is loaded and by what is written."""

import re
import subprocess
import sys
from pathlib import Path

from support import REPOSITORY

OUTSIDE_CORE = ("triton", "transformers", "nibabel", "pydantic", "typer")

IMPORT_CORE = """
import importlib, pkgutil, simcrop.core
for module in pkgutil.walk_packages(simcrop.core.__path__, "simcrop.core."):
    importlib.import_module(module.name)
"""


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after running the code."""
    report = "\nimport sys; print('LOADED', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    return set(done.stdout.rpartition("LOADED")[2].split())


def test_importing_all_of_core_loads_no_outside_library() -> None:
    loaded = loaded_after(IMPORT_CORE)
    assert {"simcrop", "torch"} <= loaded
    assert loaded.isdisjoint(OUTSIDE_CORE)


def test_the_check_can_fail() -> None:
    assert {"nibabel", "pydantic", "typer"} <= loaded_after(f"{IMPORT_CORE}\nimport nibabel, pydantic, typer")


def test_importing_simcrop_is_cheap() -> None:
    loaded = loaded_after("import simcrop\nassert callable(simcrop.split_sentences)")
    assert loaded.isdisjoint({"triton", "transformers", "nibabel", "matplotlib", "sklearn"})


def test_help_needs_none_of_the_heavy_libraries() -> None:
    code = "from simcrop_cli.__main__ import main\nassert main(['train', '--help']) == 0"
    assert loaded_after(code).isdisjoint({"torch", "transformers", "nibabel", "matplotlib"})


def test_no_module_needs_what_windows_lacks() -> None:
    lacking = re.compile(r"^(?:import|from) (resource|fcntl|pwd|grp|termios)\b", re.MULTILINE)
    files = [path for root in ("simcrop", "cli") for path in (REPOSITORY / root).rglob("*.py")]
    assert len(files) > 200
    assert [str(path) for path in files if lacking.search(path.read_text(encoding="utf-8"))] == []
    assert lacking.search("import torch\nimport resource\n")


def lint(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    """import-linter on the packages that can be imported from `folder`."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    return subprocess.run(
        [*command, "--no-cache", "--config", str(config)], capture_output=True, text=True, check=False, cwd=folder
    )


def test_imports_point_inward() -> None:
    done = lint(REPOSITORY, REPOSITORY / "pyproject.toml")
    assert done.returncode == 0, done.stdout


def test_an_import_that_points_outward_is_found(tmp_path: Path) -> None:
    for package in ("simcrop", "simcrop/core", "simcrop/adapters"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "simcrop/core/model.py").write_text("from simcrop.adapters import files\n")
    (tmp_path / "simcrop/adapters/files.py").write_text("import simcrop.core\n")
    (tmp_path / "setup.cfg").write_text(
        "[importlinter]\nroot_package = simcrop\n[importlinter:contract:inward]\nname = inward\ntype = layers\n"
        "layers =\n    simcrop.adapters\n    simcrop.core\n"
    )
    done = lint(tmp_path, tmp_path / "setup.cfg")
    assert done.returncode == 1
    assert "simcrop.core.model -> simcrop.adapters.files" in done.stdout
