"""The word that a rank leaves for the launcher, and its end when the launcher is gone."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simcrop_cli import agent
from simcrop_cli.__main__ import main
from simcrop_cli.signals import stop

ORPHAN = """
import os, sys, time
from simcrop_cli import agent
from simcrop_cli.signals import stop
if os.fork() == 0:
    with stop.installed():
        agent.follow_agent({environment})
        until = time.monotonic() + {seconds}
        while not stop() and time.monotonic() < until:
            time.sleep(0.01)
    print("status", stop.status)
"""


@pytest.mark.parametrize(("environment", "seconds", "status"), [({"TORCHELASTIC_RUN_ID": "a"}, 60, 143), ({}, 1.5, 0)])
def test_a_rank_whose_agent_ends_is_asked_to_stop(environment: dict[str, str], seconds: float, status: int) -> None:
    code = ORPHAN.format(environment=environment, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=120, check=True)
    assert done.stdout == f"status {status}\n"


def test_a_note_is_kept_where_it_is_asked_for(tmp_path: Path) -> None:
    environment = {agent.NOTE: str(tmp_path / "note")}
    assert agent.noted_status(environment) == 0
    assert agent.leave_note(143, environment)
    assert agent.noted_status(environment) == 143
    assert not agent.leave_note(143, {})
    assert agent.noted_status({}) == 0
    (tmp_path / "note").unlink()
    agent.follow_agent(environment)
    assert (tmp_path / "note").read_text() == ""
    assert agent.noted_status(environment) == 0
    assert not agent.leave_note(143, {agent.NOTE: str(tmp_path / "gone" / "note")})


def asked(**options: object) -> None:
    assert not stop()
    os.kill(os.getpid(), signal.SIGTERM)
    raise SystemExit(0)


def heard(**options: object) -> None:
    stop.heard()
    raise SystemExit(0)


def never_asks(**options: object) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.parametrize(("app", "under_launcher"), [(asked, 0), (heard, 0), (never_asks, 143)])
def test_ranks_that_left_together_end_with_0_under_the_launcher(
    app: object, under_launcher: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simcrop_cli.__main__.app", app)
    assert main(["info"]) == 143
    monkeypatch.setenv(agent.NOTE, str(tmp_path / "note"))
    assert main(["info"]) == under_launcher
    assert (tmp_path / "note").read_text() == "143"


def test_ranks_that_are_started_again_after_a_request_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(agent.NOTE, str(tmp_path / "note"))
    (tmp_path / "note").write_text("143")
    assert main(["info", str(tmp_path / "absent")]) == 0
    (tmp_path / "note").unlink()
    assert main(["info", str(tmp_path / "absent")]) == 1
