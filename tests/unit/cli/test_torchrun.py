"""The status that the launcher ends with, for all that its ranks may end with.

tests/e2e/test_torchrun.py trains with it.
"""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousConnectionError

from simcrop_cli import agent
from simcrop_cli.torchrun import main, passed_on


def failed(*codes: int) -> ChildFailedError:
    """What torchrun raises where the ranks end with these exit codes; those with 0 did not fail."""
    failures = {
        rank: ProcessFailure(local_rank=rank, pid=1, exitcode=code, error_file="") for rank, code in enumerate(codes)
    }
    return ChildFailedError("python", {rank: failure for rank, failure in failures.items() if failure.exitcode})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (agent.NOTE, "PET_SIGNALS_TO_HANDLE"):
        monkeypatch.setenv(name, "")  # so that what the launcher sets is undone
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("ends", "note", "status", "told"),
    [
        (None, None, 0, ""),
        (None, 143, 143, ""),
        (None, 130, 130, ""),
        (SignalException("", signal.SIGTERM), 143, 143, ""),
        (SignalException("", signal.SIGTERM), 0, 1, "simcrop: asked to stop, and no rank could save; their own lines "
                                                    "above may say why\n"),
        (SignalException("", signal.SIGUSR1), None, 143, ""),
        (SignalException("", signal.SIGINT), 130, 130, ""),
        (failed(143, 143), None, 143, ""),
        (failed(0, -signal.SIGTERM), 130, 130, ""),
        (failed(143, 1), 143, 1, "simcrop: rank 1 ended with status 1; its own lines above say why\n"),
        (failed(-signal.SIGTERM, -signal.SIGKILL), None, 1, "simcrop: rank 1 was ended by SIGKILL; if by nobody here, "
                                                            "then most likely for want of memory\n"),
        (RendezvousConnectionError("no\nway"), None, 1, "simcrop: the machines did not find each other (no way); start "
            "this on each within some minutes, with the same --nnodes, --rdzv-endpoint and --rdzv-id, and a free port "
            "that all can reach\n"),
    ],
)  # fmt: skip
def test_a_request_to_stop_is_told_from_a_failure(
    ends: Exception | None,
    note: int | None,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given: list[str] = []

    def ranks(arguments: list[str]) -> None:
        given.extend(arguments)
        if note is not None:
            agent.leave_note(note)
        if ends is not None:
            raise ends

    monkeypatch.setattr(run, "main", ranks)
    assert main(["--standalone", "-m", "simcrop_cli"]) == status
    assert given == ["--standalone", "-m", "simcrop_cli"]
    assert capsys.readouterr().err == told
    assert not Path(os.environ[agent.NOTE]).parent.exists()


def test_torchrun_handles_other_signals_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "main", lambda arguments: None)
    assert main([]) == 0
    parsed = run.get_args_parser().parse_args(["-m", "simcrop_cli"])
    assert parsed.signals_to_handle == "SIGHUP,SIGQUIT"
    monkeypatch.setenv("PET_SIGNALS_TO_HANDLE", "SIGHUP")
    assert main([]) == 0
    assert os.environ["PET_SIGNALS_TO_HANDLE"] == "SIGHUP"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)])
def test_a_request_ends_an_agent_whose_ranks_have_not_begun(
    number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(run, "main", lambda arguments: os.kill(os.getpid(), number))
    assert main([]) == status
    assert signal.getsignal(signal.SIGUSR1) is before


@contextmanager
def rank(folder: Path, command: str) -> Iterator[subprocess.Popen[str]]:
    """A child of this process that has left its number, and one that ended before."""
    ended = subprocess.Popen(["true"])
    # Where the tests run in the background of a script, a child would go on ignoring Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        assert ended.wait() == 0
        for each in (process, ended):
            (folder / f"note.{each.pid}").touch()
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_request_is_passed_on_to_the_ranks_and_the_agent_sees_them_end(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(agent.NOTE, str(tmp_path / "note"))
    with rank(tmp_path, "echo begun; exec sleep 60") as process, passed_on():
        os.kill(os.getpid(), number)
        assert process.wait(60) == -number


DEAF = "trap '' TERM INT USR1; echo begun; exec sleep 60"


def test_a_later_request_ends_the_agent_but_a_copy_or_a_notice_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(agent.NOTE, str(tmp_path / "note"))
    now = 100.0
    with rank(tmp_path, DEAF), passed_on(lambda: now):
        for seconds, number in (
            (0, signal.SIGUSR1),  # ahead of the limit
            (300, signal.SIGTERM),  # at the limit
            (1.9, signal.SIGTERM),
            (9, signal.SIGUSR1),
        ):
            now += seconds
            os.kill(os.getpid(), number)
        with pytest.raises(SignalException):
            os.kill(os.getpid(), signal.SIGTERM)
