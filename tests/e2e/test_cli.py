"""The commands of the README, as a stranger types them."""

import json
import re
import subprocess
import sys
from pathlib import Path

from support import REPOSITORY
from support.command import ENVIRONMENT, simcrop
from support.tiny_data import write_config


def options(**overrides: object) -> list[str]:
    return [part for key, value in overrides.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]


def test_the_default_run_from_nothing_to_a_summary(tmp_path: Path) -> None:
    few = options(data__cases=16, train__batch_size=4, train__steps=2, train__warmup_steps=0, evaluation__probe_test=2)
    config = REPOSITORY / "pretrain.yaml"
    done = simcrop("train", config, *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    run = tmp_path / "runs" / "pretrain"
    made = {path.relative_to(run).as_posix() for path in run.rglob("*")}
    step = "checkpoints/step_00000002"
    files = ("config.json", "tokenizer", "model.safetensors", "training_state", "manifest.json")
    assert {f"{step}/{name}" for name in files} <= made
    assert {"config.yaml", "metrics.jsonl", "summary.json", "references.safetensors"} <= made
    assert {"checkpoints/latest", "checkpoints/best"} <= made
    assert any(name.startswith("events.out.tfevents.") for name in made)
    assert any(name.startswith("pictures/") and name.endswith(".png") for name in made)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    keys = {"loss", "loss_reconstruction", "loss_report", "loss_alignment", "loss_late_interaction", "lr", "grad_norm"}
    assert keys | {"studies_per_second", "data_wait"} <= set(rows[0])
    assert "validation_loss" in rows[1]
    summary = json.loads((run / "summary.json").read_text())
    assert {"grounding_hit_rate", "grounding_chance", "probe_auroc", "probe_auroc_untrained", "probe_auroc_voxels",
            "probe_num_labelled", "validation_loss"} <= set(summary)  # fmt: skip
    # A model that was given away still knows how a sentence scores in scans of that data.
    export = simcrop("export", "--checkpoint", run, "--out", tmp_path / "given")
    assert export.returncode == 0, export.stderr
    volume = next((tmp_path / "data").glob("phantom_*/dataset/**/*.nii.gz"))
    given = ["--checkpoint", tmp_path / "given", "--volume", volume, "--out", tmp_path / "heart.png"]
    located = simcrop("locate", *given, "--sentence", "The heart is enlarged.")
    assert located.returncode == 0, located.stderr
    standing = r"higher than in \d+ % of \d reference scans held out of the training data"
    assert re.fullmatch(standing, located.stdout.splitlines()[1])
    # The resolved configuration is a configuration: the same run, which is finished.
    again = simcrop("train", run / "config.yaml", cwd=tmp_path)
    assert (again.returncode, "finished at step 2" in again.stdout) == (0, True), again.stderr


def test_two_processes_by_torchrun(tmp_path: Path) -> None:
    config, out = write_config(tmp_path), tmp_path / "run"
    short = options(train__steps=2, train__warmup_steps=0, train__batch_size=1, train__evaluate_every=2)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "simcrop_cli", "train", str(config), "--out", str(out), *short]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert done.stdout.count("held-out loss") == 1
