"""A run that is killed and resumed is one run in MLflow and in Weights & Biases: as a user types it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.tiny_data import write_config
from support.tracking import mlflow_server, own_environment, values_of, wandb_runs

from simcrop_cli.__main__ import main

STEPS = 16
OPTIONS = (f"train.steps={STEPS}", "train.checkpoint_every=5", "train.evaluate_every=16")


def command(config: Path, out: Path) -> list[str]:
    options = [part for option in (*OPTIONS, "train.trackers=[mlflow, wandb]") for part in ("--set", option)]
    return ["train", str(config), "--out", str(out), *options]


def kill(config: Path, out: Path, at_step: int) -> None:
    """Start, and end it without warning once it has come so far and MLflow has some of it."""
    metrics, environment = out / "metrics.jsonl", os.environ | {"OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-m", "simcrop_cli", *command(config, out)]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 120
        while not metrics.exists() or metrics.read_text().count("\n") < at_step:
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()


def the_run(client: Any) -> Any:
    [experiment] = [each for each in client.search_experiments() if each.name == "chests"]
    [run] = client.search_runs([experiment.experiment_id])
    return run


def test_a_run_that_is_killed_and_resumed_is_one_run_everywhere(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    pytest.importorskip("wandb", reason="needs the extra wandb")
    from mlflow.tracking import MlflowClient

    config, out = write_config(tmp_path), tmp_path / "run"
    with (
        mlflow_server(tmp_path) as address,
        own_environment(MLFLOW_TRACKING_URI=address, MLFLOW_EXPERIMENT_NAME="chests", WANDB_MODE="offline"),
    ):
        client = MlflowClient(address)
        kill(config, out, at_step=8)
        assert the_run(client).info.status == "RUNNING"
        assert main(command(config, out)) == 0
        run = the_run(client)
        histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
        files = [file.path for folder in (None, "pictures") for file in client.list_artifacts(run.info.run_id, folder)]

    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    summary = json.loads((out / "summary.json").read_text())
    assert (run.info.status, run.info.run_name) == ("FINISHED", "tiny")
    assert run.data.params["train.steps"] == str(STEPS)
    assert [metric.step for metric in histories["loss"]] == [row["step"] for row in rows] == list(range(1, STEPS + 1))
    for key in ("loss", "lr", "grad_norm", "validation_loss"):
        sent = {metric.step: metric.value for metric in histories[key]}
        assert sent == {row["step"]: row[key] for row in rows if key in row}, key
    assert set(rows[-1]) <= set(histories)
    assert run.data.metrics["num_held_out"] == summary["num_held_out"]
    pictures = [f"pictures/step_{STEPS:08d}_{name}.png" for name in ("curves", "reconstruction")]
    assert files == ["config.yaml", "pictures", "summary.json", *pictures]

    folders, parts = (out / "wandb").glob("offline-run-*"), wandb_runs(out)
    assert [folder.name.rpartition("-")[2] for folder in folders] == [parts[-1]["run"][0].run_id] * 2
    logged = [values_of(row.item) for part in parts for row in part.get("history", [])]
    losses = {row["step"]: row["loss"] for row in logged if "loss" in row}
    assert losses == {row["step"]: row["loss"] for row in rows}
    assert ["exit" in part for part in parts] == [False, True]
