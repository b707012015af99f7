"""`simcrop bench` runs what the repository has, and says what is missing elsewhere."""

from pathlib import Path

import pytest

from simcrop.core.errors import BackendError
from simcrop_cli import benchmarks
from simcrop_cli.benchmarks import run_benchmarks


@pytest.fixture(autouse=True)
def _as_from_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the interpreter of the other tests nor xdist, in which nothing is timed."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_an_installed_package_says_where_the_benchmarks_are(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"^simcrop bench: the benchmarks come with the repository.*clone it"):
        run_benchmarks(None, tmp_path)


def test_without_pytest_benchmark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks, "find_spec", lambda name: None)
    with pytest.raises(BackendError, match=r"pytest-benchmark is not installed; pip install -e"):
        run_benchmarks(None)


def test_the_status_is_pytests(tmp_path: Path) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "measuring.py").touch()
    (tmp_path / "benchmarks" / "test_it.py").write_text("def test_it(benchmark):\n    benchmark(lambda: 1 / 0)\n")
    assert run_benchmarks(None, tmp_path) == 1
