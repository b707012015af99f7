"""`simcrop eval probe`, `knn` and `finetune` as a stranger types them, killed and stopped included."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support import labelled_data

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "110"}
COMMAND = [sys.executable, "-m", "simcrop_cli", "eval"]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled_data.write_config(tmp_path_factory.mktemp("data"))


def simcrop(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, env=ENVIRONMENT)


def metrics(out: Path) -> dict[str, Any]:
    return json.loads((out / "metrics.json").read_text())["metrics"]


def test_probe_and_neighbours_write_into_the_folder_of_the_run(config: Path, tmp_path: Path) -> None:
    done = simcrop("probe", config, "--labels", "50", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "runs" / "labelled" / "eval" / "probe"
    assert metrics(out)["percent"] == 50
    assert metrics(out)["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert "mean over labels" in done.stdout
    assert "no --checkpoint: the encoder is untrained" in " ".join(done.stdout.split())
    assert "volumes/s" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    done = simcrop("knn", config, "--set", "labels.names=[Bright]", "--out", "neighbours", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metrics(tmp_path / "neighbours")["auroc"]["value"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "labels.names=[Fracture]"], "labels.names: 'Fracture' is no label column of the data"),
        (["--protocol", "fair"], "--set: labels.protocol: expected honest or published, not fair"),
    ],
)
def test_errors_are_one_line_and_status_one(config: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = simcrop("probe", config, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"simcrop: {message}")
    assert "Traceback" not in done.stderr


def until_step(process: subprocess.Popen[str], out: Path, step: int) -> None:
    rows, deadline = out / "training.jsonl", time.monotonic() + 120
    while not rows.exists() or len(rows.read_text().splitlines()) < step:
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_fine_tuning_that_is_killed_and_stopped_ends_as_if_it_had_not(config: Path, tmp_path: Path) -> None:
    options = [
        "finetune.steps=60",
        "finetune.evaluate_every=6",
        "finetune.checkpoint_every=5",
        "evaluation.bootstrap=10",
    ]
    arguments = ["finetune", config, *(part for option in options for part in ("--set", option))]
    done = simcrop(*arguments, "--out", tmp_path / "whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "disturbed"
    command = [*COMMAND, *map(str, arguments), "--out", str(out)]
    for number, status, step in ((signal.SIGKILL, -signal.SIGKILL, 12), (signal.SIGTERM, 143, 30)):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        try:
            until_step(process, out, step)
            process.send_signal(number)
            assert process.wait(60) == status
        finally:
            process.kill()
            process.communicate()
        assert not (out / "metrics.json").exists()
    done = simcrop(*arguments, "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "continuing the training from step" in done.stdout
    assert metrics(out) == metrics(tmp_path / "whole")
