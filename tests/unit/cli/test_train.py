"""`simcrop train`: its options, a dry run, a run that is finished."""

import sys
from pathlib import Path

import pytest
from support.tiny_data import write_config

from simcrop.adapters.config.settings import config_from_tree, load_config
from simcrop.adapters.config.yaml_text import parse_yaml
from simcrop_cli.__main__ import main


def test_options_reach_the_configuration_and_a_dry_run_trains_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = write_config(tmp_path), tmp_path / "run"
    overrides = ["train.steps=7", "train.warmup_steps=1"]
    options = [part for override in overrides for part in ("--set", override)]
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", str(path), "--out", str(out), "--dry-run", *options]) == 0
    printed = capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before
    resolved = printed[printed.index("\nname: ") :]
    assert config_from_tree(parse_yaml(resolved, "printed"), "printed") == load_config(path, overrides)
    assert "7 of 4 studies on each process: 4.7 epochs of 6 studies" in printed


def test_a_dry_run_names_a_tracker_that_is_not_installed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    trackers = ["--set", "train.trackers=[tensorboard, mlflow]"]
    assert main(["train", str(write_config(tmp_path)), "--dry-run", *trackers]) == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("simcrop: train.trackers: mlflow needs the package mlflow; pip install 'simcrop[mlflow]'")


def test_prepare_then_train_then_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_config(tmp_path), tmp_path / "run"
    short = ["--set", "train.steps=2", "--set", "train.warmup_steps=0", "--set", "train.evaluate_every=2"]
    assert main(["data", "prepare", str(path)]) == 0
    prepared = {file: file.stat().st_mtime_ns for file in (tmp_path / "prepared").rglob("*.npy")}
    assert len(prepared) == 8
    assert main(["train", str(path), "--out", str(out), *short]) == 0
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 2
    assert {file: file.stat().st_mtime_ns for file in prepared} == prepared
    capsys.readouterr()
    assert main(["train", str(path), "--out", str(out), *short]) == 0
    assert "finished at step 2" in capsys.readouterr().out
    assert main(["train", str(path), "--out", str(out), *short, "--set", "model.depth=2"]) == 1
    assert "simcrop: model.depth: 2 differs from 1" in capsys.readouterr().err
    assert main(["info", str(out)]) == 0
    facts = capsys.readouterr().out
    assert "tiny, step 2 of 2, seed 0" in facts
    assert "(16, 16, 16) voxels" in facts


def test_several_windows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = write_config(tmp_path), tmp_path / "run"
    short = ["--set", "train.steps=2", "--set", "train.warmup_steps=0"]
    windows = ["--set", "model.windows=[[-1000, 1000], [-150, 250]]"]
    assert main(["train", str(path), "--out", str(out), *short, *windows]) == 0
    capsys.readouterr()
    assert main(["info", str(out)]) == 0
    assert "patches of (4, 4, 4), under 2 windows" in capsys.readouterr().out
    assert main(["train", str(path), "--out", str(out), *short]) == 1
    assert "simcrop: model.windows: " in capsys.readouterr().err
    assert main(["train", str(path), "--set", "model.windows=[-1000, 1000]"]) == 1
    assert "model.windows" in capsys.readouterr().err
