"""The scripts of deploy/slurm, under fakes of Slurm's commands: what they call, and when they put a job back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slurm import JOB, STEP, Job
from support.tiny_data import write_config
from support.trained_run import trained

from simcrop.adapters.formats.feature_tables import read_table
from simcrop_cli.__main__ import main

STEPS = 60
SETTINGS = (f"train.steps={STEPS}", "train.checkpoint_every=4", "train.accumulate=1", "data.num_workers=1")

ENDS = """\
import os, pathlib, signal, sys, time
if "{step}" not in os.environ:
    os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {{"{step}": os.environ["{job}"]}})
folder = pathlib.Path(os.environ["FAKE_SLURM"])
status = []
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, lambda *heard: status.append({at_signal}))
(folder / "called").write_text("\\n".join(sys.argv[1:]))
until = time.monotonic() + {seconds}
while not status and time.monotonic() < until:
    time.sleep(0.01)
sys.exit(status[0] if status else {at_end})
"""
"""In the place of `srun` and its step: ends at a signal, or by itself."""


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    while Job.started:
        Job.started.pop().lose()


def job(folder: Path, at_signal: int = 143, at_end: int = 0, seconds: float = 60, **environment: str) -> Job:
    """A training job whose step ends as it is told."""
    made = Job(folder, "train.sbatch", "run.yaml", "--out", "a folder", **environment)
    made.fake("srun", ENDS.format(at_signal=at_signal, at_end=at_end, seconds=seconds, step=STEP, job=JOB))
    made.start()
    made.until((folder / "called").exists)
    return made


def test_a_job_starts_an_agent_a_node_and_a_rank_a_gpu(tmp_path: Path) -> None:
    nodes = {"SLURM_JOB_NODELIST": "a7,a9", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "4"}
    done = job(tmp_path, seconds=0, RENDEZVOUS_PORT="", **nodes)
    assert done.end() == 0
    called = (tmp_path / "called").read_text()
    assert called.splitlines() == [
        *("python", "-m", "simcrop_cli.torchrun", "--nnodes", "2", "--nproc-per-node", "4", "--rdzv-backend", "c10d"),
        *("--rdzv-endpoint", "a7:24321", "--rdzv-id", "4321", "--max-restarts", "3"),
        *("-m", "simcrop_cli", "train", "run.yaml", "--out", "a folder"),
    ]
    assert done.requeued == []


@pytest.mark.parametrize(("at_end", "status"), [(0, 0), (1, 1), (143, 143)])
def test_a_job_without_notice_ends_as_its_step_and_stays_out_of_the_queue(
    at_end: int, status: int, tmp_path: Path
) -> None:
    done = job(tmp_path, at_end=at_end, seconds=0)
    assert (done.end(), done.requeued, done.log) == (status, [], "")


@pytest.mark.parametrize(("at_signal", "requeued"), [(143, ["4321"]), (1, []), (0, [])])
def test_after_a_notice_a_job_goes_back_only_if_its_step_stopped_as_asked(
    at_signal: int, requeued: list[str], tmp_path: Path
) -> None:
    running = job(tmp_path, at_signal=at_signal)
    running.notify()
    assert (running.end(), running.requeued, running.log) == (at_signal, requeued, "")


def test_a_cancelled_job_waits_for_its_step_and_stays_out_of_the_queue(tmp_path: Path) -> None:
    running = job(tmp_path)
    assert (running.limit(), running.requeued) == (143, [])


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"SLURM_RESTART_COUNT": "5", "MOST_REQUEUES": "5"}, "requeued 5 times; submit it again to go on"),
        ({"FAKE_SLURM_REFUSES": "1"}, "saved, but this cluster does not requeue; submit the same line again"),
    ],
)
def test_a_job_that_cannot_go_back_says_what_to_do(environment: dict[str, str], told: str, tmp_path: Path) -> None:
    running = job(tmp_path, **environment)
    running.notify()
    assert (running.end(), running.requeued) == (143, [])
    assert f"train.sbatch: {told}" in running.log


PART = {"SLURM_ARRAY_TASK_COUNT": "2"}
TELLS = "import os, sys; print(*sys.argv[1:], sep='|')\n"


@pytest.mark.parametrize(("script", "command"), [("prepare", "data|prepare"), ("embed", "embed")])
@pytest.mark.parametrize(("environment", "part"), [({}, "2/4"), ({"PARTS": "64"}, "2/64")])
def test_a_job_of_an_array_takes_its_part(
    script: str, command: str, environment: dict[str, str], part: str, tmp_path: Path
) -> None:
    array = {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"}
    made = Job(tmp_path, f"{script}.sbatch", "a file", "--set", "b=c", **array, **environment)
    made.fake("python", TELLS)
    made.start()
    assert made.end() == 0
    assert made.log == f"-m|simcrop_cli|{command}|--shard|{part}|a file|--set|b=c\n"


@pytest.mark.slow
def test_parts_of_an_array_prepare_all(tmp_path: Path) -> None:
    config, made = write_config(tmp_path), list[int]()
    for number in ("1", "2"):
        part = Job(tmp_path / number, "prepare.sbatch", config, SLURM_ARRAY_TASK_ID=number, **PART)
        part.start()
        assert part.end() == 0, part.log
        assert f"part {number} of 2 is ready" in part.log
        made.append(len(list((tmp_path / "prepared").glob("grid_*/[!.]*.npy"))))
    assert 0 < made[0] < made[1] == 8


@pytest.mark.slow
def test_parts_of_an_array_embed_all(tmp_path: Path) -> None:
    setting, out = trained(tmp_path), tmp_path / "features"
    arguments = ("embed", str(setting.yaml), "--checkpoint", str(setting.out), "--workers", "1")
    for number in ("1", "2"):
        options = (*arguments[1:], "--out", str(out))
        part = Job(tmp_path / number, "embed.sbatch", *options, SLURM_ARRAY_TASK_ID=number, **PART)
        part.start()
        assert part.end() == 0, part.log
    tables = [read_table(out / f"features_{number}_of_2.csv") for number in (1, 2)]
    assert main([*arguments, "--out", str(tmp_path / "whole")]) == 0
    whole = read_table(tmp_path / "whole" / "features.csv")
    assert all(tables)
    assert len(tables[0]) + len(tables[1]) == len(whole) == 8
    found = tables[0] | tables[1]
    for name, row in whole.items():
        np.testing.assert_allclose(found[name], row, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_job_that_is_requeued_preempted_and_lost_is_one_that_was_never_disturbed(ranks: int, tmp_path: Path) -> None:
    config = write_config(tmp_path)
    settings = [part for key in SETTINGS for part in ("--set", key)]

    def training(name: str) -> tuple[Job, Path]:
        out = tmp_path / name / "run"
        arguments = (config, "--out", out, *settings)
        return Job(tmp_path / name, "train.sbatch", *arguments, RANKS_PER_NODE=str(ranks)), out

    whole, undisturbed = training("undisturbed")
    whole.start()
    assert whole.end() == 0, whole.log

    job, out = training("disturbed")

    def goes_on() -> int:
        """Start it, let it make some steps more, and return their number."""
        wanted = len(rows(out)) + 5
        job.start()
        job.until(lambda: len(rows(out)) >= wanted)
        return len(rows(out))

    goes_on()
    job.notify()
    assert job.end() == 143, job.log
    assert job.requeued == ["4321"]
    assert latest(out) == len(rows(out)) < STEPS

    goes_on()
    assert job.limit() == 143, job.log
    assert job.requeued == ["4321"], "Slurm puts a preempted job back by itself, and a cancelled one nobody"
    assert latest(out) == len(rows(out)) < STEPS

    assert goes_on() < STEPS
    job.lose()

    job.start()
    assert job.end() == 0, job.log
    assert rows(out) == rows(undisturbed)
    assert [row["step"] for row in rows(out)] == list(range(1, STEPS + 1))
    assert weights(out) == weights(undisturbed)


def rows(out: Path) -> list[dict[str, Any]]:
    """Whole rows of a run, without what the clock decides."""
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [
        {key: value for key, value in json.loads(line).items() if key not in {"studies_per_second", "data_wait"}}
        for line in lines
    ]


def latest(out: Path) -> int:
    """The step of the last checkpoint."""
    return int((out / "checkpoints" / "latest").read_text().strip().removeprefix("step_"))


def weights(out: Path) -> bytes:
    """The weights of the last step, byte by byte."""
    return (out / "checkpoints" / f"step_{STEPS:08d}" / "model.safetensors").read_bytes()
