"""`simcrop bench`: every name selects benchmarks."""

import subprocess
from typing import Any

import pytest

from simcrop_cli import benchmarks
from simcrop_cli.bench import What
from simcrop_cli.benchmarks import run_benchmarks


@pytest.fixture(autouse=True)
def _as_from_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the interpreter of the other tests nor xdist, in which nothing is timed."""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def test_every_name_selects_benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    run = subprocess.run

    def list_only(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        done = run([*command, "--collect-only"], capture_output=True, text=True, **options)
        listed.extend(line for line in done.stdout.splitlines() if "::" in line)
        return done

    monkeypatch.setattr(benchmarks.subprocess, "run", list_only)
    assert run_benchmarks(" or ".join(What)) == 0
    for what in What:
        assert any(what in line for line in listed), what
    assert all(any(what in line for what in What) for line in listed)
