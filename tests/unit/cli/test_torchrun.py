"""The status that the launcher ends with, for all that its ranks may end with.

tests/e2e/test_torchrun.py trains with it.
"""

import os
import signal
from pathlib import Path

import pytest
from torch.distributed import run
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousConnectionError

from simcrop_cli import agent
from simcrop_cli.torchrun import main


def failed(*codes: int) -> ChildFailedError:
    """What torchrun raises where the ranks end with these exit codes; those with 0 did not fail."""
    failures = {
        rank: ProcessFailure(local_rank=rank, pid=1, exitcode=code, error_file="") for rank, code in enumerate(codes)
    }
    return ChildFailedError("python", {rank: failure for rank, failure in failures.items() if failure.exitcode})


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (agent.NOTE, "PET_SIGNALS_TO_HANDLE", "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"):
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


def test_ranks_are_given_time_to_save_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "main", lambda arguments: None)
    monkeypatch.setenv("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "7")
    assert main([]) == 0
    assert os.environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] == "7"
    # Others would be handled by torchrun, which leaves ranks behind at the second.
    parsed = run.get_args_parser().parse_args(["-m", "simcrop_cli"])
    assert parsed.signals_to_handle == "SIGHUP,SIGQUIT"


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)])
def test_a_request_ends_the_agent_and_a_later_one_does_not_disturb_it(
    number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ranks(arguments: list[str]) -> None:
        try:
            os.kill(os.getpid(), number)
        finally:
            for other in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
                os.kill(os.getpid(), other)  # while ranks save

    before = signal.getsignal(signal.SIGUSR1)
    monkeypatch.setattr(run, "main", ranks)
    assert main([]) == status
    assert signal.getsignal(signal.SIGUSR1) is before
