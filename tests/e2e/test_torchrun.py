"""The command under torchrun: two ranks do what one process does, stop together, and survive a rank's death."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.owning import held, wait_for
from support.tiny_data import write_config
from support.torchrun import (
    AGENT,
    ONE_NODE,
    children_of,
    finish,
    free_port,
    node,
    ranks_of,
    rows,
    running_until,
    start,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_config(tmp_path_factory.mktemp("data"))


def test_two_ranks_train_as_one_process_with_twice_the_batch(tmp_path: Path) -> None:
    config, one, two = write_config(tmp_path), tmp_path / "one", tmp_path / "two"
    short = ("train.steps=16", "train.warmup_steps=2")
    for process in (
        start((sys.executable,), config, one, *short, "train.batch_size=4"),
        start(ONE_NODE, config, two, *short, "train.batch_size=2"),
    ):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(rows(two)) == 16
    for row, expected in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    assert rows(two)[0] == pytest.approx(rows(one)[0], rel=1e-5)


def test_two_ranks_with_a_global_batch_make_the_updates_of_one_process(tmp_path: Path) -> None:
    config, one, two = write_config(tmp_path), tmp_path / "one", tmp_path / "two"
    short = ("train.steps=8", "train.warmup_steps=2", "train.accumulate=null", "train.global_batch=4")
    for process in (
        start((sys.executable,), config, one, *short, "train.batch_size=4"),
        start(ONE_NODE, config, two, *short, "train.batch_size=2"),
    ):
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
    assert len(rows(two)) == 8
    for row, expected in zip(rows(two), rows(one), strict=True):
        assert row == pytest.approx(expected, rel=1e-4)
    refused = start(ONE_NODE, config, tmp_path / "odd", *short, "train.batch_size=4")
    output, _ = refused.communicate(timeout=300)
    assert refused.returncode != 0
    assert "train.global_batch: 4 does not divide into micro-batches of 4 studies on 2 processes" in output
    assert not (tmp_path / "odd" / "checkpoints").exists()


ASKABLE = (sys.executable, "-m", "simcrop_cli.torchrun")
LAUNCHER = (*ASKABLE, *ONE_NODE[len(AGENT) :], "--max-restarts", "3")


@pytest.mark.parametrize(
    ("launcher", "whom", "number", "status"),
    [
        (LAUNCHER, "agent, twice", signal.SIGTERM, 143),
        (LAUNCHER, "agent", signal.SIGUSR1, 143),
        (LAUNCHER, "rank", signal.SIGUSR1, 143),
        (LAUNCHER, "all", signal.SIGTERM, 143),
        (ONE_NODE, "rank", signal.SIGTERM, 1),
        (ONE_NODE, "agent", signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_two_ranks_stop_together_and_save_whoever_is_asked(
    launcher: tuple[str, ...], whom: str, number: int, status: int, config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    agent = start(launcher, config, out, "train.steps=5000", "data.num_workers=1")
    with running_until(lambda: len(rows(out)) >= 4, agent):
        ranks = ranks_of(agent)
        everybody = [agent.pid, *ranks.values(), *(worker for rank in ranks.values() for worker in children_of(rank))]
        assert len(everybody) == 5
        for each in {"all": everybody, "rank": [ranks[1]]}.get(whom, [agent.pid]):
            os.kill(each, number)
        if whom.endswith("twice"):
            time.sleep(0.3)
            agent.send_signal(number)
        # The ranks hold the output open, and outlive a launcher that is killed.
        ((found, output),) = finish(agent)
    assert found == status, output
    last = rows(out)[-1]["step"]
    assert last < 5000
    assert (out / "checkpoints" / "latest").read_text() == f"step_{last:08d}\n", output


DISTURBED = ("train.steps=14", "train.warmup_steps=2", "train.checkpoint_every=3", "train.keep_checkpoints=9")
TOGETHER = "train.contrast=step"
"""So that it makes no difference which volumes share a micro-batch."""


@pytest.fixture(scope="module")
def undisturbed_run(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    ((status, output),) = finish(start(ONE_NODE, config, out, *DISTURBED))
    assert status == 0, output
    return out


@pytest.fixture(scope="module")
def undisturbed(undisturbed_run: Path) -> list[dict[str, Any]]:
    return rows(undisturbed_run)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_costs_the_steps_since_the_last_checkpoint(
    config: Path, undisturbed: list[dict[str, Any]], tmp_path: Path, rank: int
) -> None:
    out = tmp_path / "run"
    agent = start((*ONE_NODE, "--max-restarts", "3"), config, out, *DISTURBED)
    for least in (4, 10):
        with running_until(lambda least=least: len(rows(out)) >= least, agent, ends=False):
            killed = ranks_of(agent)[rank]
            os.kill(killed, signal.SIGKILL)
    ((status, output),) = finish(agent)
    assert status == 0, output
    assert f"rank {rank} (process {killed} on " in output
    assert "Traceback" not in output
    assert rows(out) == undisturbed


def test_a_rank_that_hangs_is_named(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    agent = start(ONE_NODE, config, out, "train.steps=5000", "train.timeout_minutes=0.25")
    with running_until(lambda: len(rows(out)) >= 4, agent):
        ranks = ranks_of(agent)
        os.kill(ranks[1], signal.SIGSTOP)
        wait_for(lambda: 0 not in ranks_of(agent))
        os.kill(ranks[1], signal.SIGCONT)
        ((status, output),) = finish(agent)
    assert status == 1
    lines = [line for line in output.splitlines() if line.startswith(f"simcrop: rank 1 (process {ranks[1]} on ")]
    (line,) = set(lines)  # once it goes on, the rank itself is told the same
    assert "does not answer (Timed out" in line
    assert "; train.timeout_minutes is 0.25; see what that rank says, then run the same command again" in line
    assert 'File "' not in output.partition(line)[0]


def cut_off(run: Path, copy: Path) -> Path:
    """A copy of a run as it was when it was killed after its seventh step."""
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("summary.json", "step_00000009", "step_0000001*"))
    return copy


def goes_on_with_one_process(config: Path, run: Path, copy: Path, *options: str) -> str:
    """The output of one process that goes on with a run of two ranks, and makes the same losses."""
    ((status, output),) = finish(start((sys.executable,), config, cut_off(run, copy), *DISTURBED, *options))
    assert status == 0, output
    assert "continuing from " in output
    for row, expected in zip(rows(copy), rows(run), strict=True):
        assert row == pytest.approx(expected, rel=1e-5)
    return output


def test_a_run_of_two_ranks_goes_on_with_one_and_a_larger_micro_batch(
    config: Path, undisturbed_run: Path, tmp_path: Path
) -> None:
    out = cut_off(undisturbed_run, tmp_path / "refused")
    made = rows(out)
    ((status, output),) = finish(start((sys.executable,), config, out, *DISTURBED))
    assert status == 1
    assert "simcrop: train.global_batch: updates of 2 studies (train.batch_size 2, micro-batches 1, proc" in output
    assert rows(out) == made
    output = goes_on_with_one_process(config, undisturbed_run, tmp_path / "run", "train.batch_size=4")
    assert "compares" not in output


def test_a_run_of_two_ranks_goes_on_with_one_and_more_micro_batches(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "two"
    ((status, output),) = finish(start(ONE_NODE, config, run, *DISTURBED, TOGETHER))
    assert status == 0, output
    for name, remedy in {"a": ("accumulate=2",), "b": ("accumulate=null", "global_batch=4")}.items():
        options = [TOGETHER, *(f"train.{each}" for each in remedy)]
        assert "compares" not in goes_on_with_one_process(config, run, tmp_path / name, *options)


def test_a_request_to_one_of_two_agents_ends_both_with_the_same_step(config: Path, tmp_path: Path) -> None:
    out, port = tmp_path / "run", free_port()
    agents = [
        start(node(port, number, "--max-restarts", "3", agent=ASKABLE), config, out, "train.steps=5000")
        for number in range(2)
    ]
    with running_until(lambda: len(rows(out)) >= 4, *agents):
        agents[1].send_signal(signal.SIGTERM)
        # An agent that waited for the other in vain would do so for 300 seconds.
        for status, output in finish(*agents):
            assert status == 143, output
    assert (out / "checkpoints" / "latest").read_text() == f"step_{rows(out)[-1]['step']:08d}\n"


def test_two_ranks_own_their_folder_as_one(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"
    short = ("train.steps=2", "train.warmup_steps=1")
    with held(out) as first:
        process = start(ONE_NODE, config, out, *short)
        output, _ = process.communicate(timeout=300)
        assert process.returncode != 0
        assert output.count(f"simcrop: {out}: process {first.pid} on ") == 1
        assert {path.name for path in out.iterdir()} == {"at work", ".simcrop.lock", ".simcrop.lock.json"}
    process = start(ONE_NODE, config, out, *short)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert len(rows(out)) == 2
    assert not list(out.glob(".*"))
