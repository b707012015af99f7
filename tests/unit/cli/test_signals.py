"""Ctrl-C, SIGTERM and SIGUSR1, sent for real."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from simcrop_cli.signals import Stop

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
REQUESTS = [*SIGNALS, (signal.SIGUSR1, 143)]


@pytest.mark.parametrize(("number", "status"), REQUESTS)
def test_work_that_never_asks_is_ended_by_the_first_signal(number: int, status: int) -> None:
    with pytest.raises(SystemExit) as left, Stop().installed():
        os.kill(os.getpid(), number)
    assert left.value.code == status


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_work_that_asks_is_told_once_and_ended_by_a_later_signal(
    number: int, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    stop = Stop(clock=lambda: now)
    with stop.installed():
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.status == status
        now += 1.9
        os.kill(os.getpid(), number)  # a launcher's copy of the first
        assert stop()
        now += 0.2
        with pytest.raises(SystemExit) as left:
            os.kill(os.getpid(), number)
    assert left.value.code == status
    assert "stopping after this step" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "status"), REQUESTS)
def test_a_notice_ahead_of_a_limit_is_a_request_that_never_hurries(number: int, status: int) -> None:
    now = 100.0
    stop = Stop(clock=lambda: now)
    with stop.installed():
        assert not stop()
        os.kill(os.getpid(), number)
        for _ in range(3):
            now += 300
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop()
        assert stop.status == status


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_a_notice_lets_the_first_signal_at_the_limit_be_a_request_too(number: int, status: int) -> None:
    now = 100.0
    stop = Stop(clock=lambda: now)
    with stop.installed():
        assert not stop()
        os.kill(os.getpid(), signal.SIGUSR1)
        now += 300
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.status == status
        now += 3
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), number)


def test_a_rank_that_hears_of_a_request_ends_with_the_status_of_one_that_was_asked() -> None:
    stop = Stop()
    with stop.installed():
        stop.heard()
        assert stop.status == 143
    with stop.installed():
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        stop.heard()
        assert stop.status == 130


def test_a_signal_that_a_library_swallowed_is_heard_by_the_next_to_ask() -> None:
    stop = Stop()
    with stop.installed():
        with contextlib.suppress(SystemExit):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop()


def test_handlers_are_put_back_and_a_new_command_starts_afresh() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = Stop()
    with stop.installed():
        stop()
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
    assert stop.status == 130
    with stop.installed():
        assert stop.status == 0
        assert not stop()


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGTERM, int(signal.SIGALRM)), (signal.SIGUSR1, int(signal.SIGKILL))]
)
def test_a_worker_outlives_the_signal_that_its_group_gets_but_not_for_ever(number: int, end: int) -> None:
    code = """
import os, signal, sys, time
from simcrop_cli import signals
signals.WORKER_SECONDS = 1
with signals.stop.installed():
    signals.stop()
    child = os.fork()
    if child == 0:
        print("ready", flush=True)
        time.sleep(2.5)
        os.kill(os.getpid(), signal.SIGKILL)
    started = time.monotonic()
    _, status = os.waitpid(child, 0)
    print("child", os.WTERMSIG(status), "main", signals.stop.status, time.monotonic() - started > 0.9)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        os.killpg(process.pid, number)
        assert process.communicate(timeout=20)[0] == f"child {end} main 143 True\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
