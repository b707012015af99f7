"""`simcrop embed` as a stranger types it: bad files among good ones, killed and started again."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.command import ENVIRONMENT, simcrop
from support.content_damage import CONTENT
from support.damage import synthetic_chest, write
from support.tiny_data import write_config

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.feature_tables import read_table, write_table

DAMAGED = ("a time series", "all zero", "a NaN", "raw, +1024", "HU applied twice", "the wrong intercept")
GOOD = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one step, and a folder of scans, some of them damaged."""
    folder = tmp_path_factory.mktemp("embed")
    config = load_config(write_config(folder), ["train.steps=1", "train.warmup_steps=0"])
    compose.train(config, out=folder / "run")
    for number in range(GOOD):
        write(folder / f"scans/good_{number:02d}.nii.gz", synthetic_chest(number))
    for number, name in enumerate(DAMAGED):
        path = folder / f"scans/bad_{number}.nii.gz"
        write(path, synthetic_chest(0))
        CONTENT[name][0](path)
    (folder / "scans/bad_page.nii.gz").write_text("<html>Please log in</html>")
    return folder


def arguments(folder: Path, out: Path) -> list[str]:
    return ["embed", str(folder / "scans"), "--checkpoint", str(folder / "run"), "--out", str(out), "--workers", "1"]


def test_bad_scans_are_named_by_code_and_cost_nothing_else(folder: Path, tmp_path: Path) -> None:
    done = simcrop(*arguments(folder, tmp_path / "out"), "--format", "parquet")
    assert done.returncode == 0, done.stderr
    last = f"{tmp_path}/out/features.parquet: features of {GOOD} scans; {len(DAMAGED) + 1} cannot be used"
    assert done.stdout.splitlines()[-1] == last
    assert f"{folder}/scans/bad_page.nii.gz: " in done.stdout
    assert "[container.html]" in done.stdout
    assert "scans/s" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "out/scans.jsonl").read_text().splitlines()]
    codes = {Path(row["scan"]).name: row["code"] for row in rows if row["status"] == "refused"}
    for number, name in enumerate(DAMAGED):
        assert codes[f"bad_{number}.nii.gz"] in CONTENT[name][1]
    assert simcrop(*arguments(folder, tmp_path / "out"), "--format", "parquet", "--strict").returncode == 1


def test_a_scan_that_is_not_there_ends_in_one_line(folder: Path, tmp_path: Path) -> None:
    done = simcrop("embed", tmp_path / "gone", "--checkpoint", folder / "run", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"simcrop: {tmp_path}/gone: does not exist; name a scan (")


def test_killed_again_and_again_it_ends_in_the_same_table(folder: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    assert simcrop(*arguments(folder, tmp_path / "whole")).returncode == 0
    seconds = time.monotonic() - began
    moments = random.Random(0)
    for _ in range(3):
        command = [sys.executable, "-m", "simcrop_cli", *arguments(folder, tmp_path / "killed"), "--batch-size", "2"]
        with subprocess.Popen(
            command, env=ENVIRONMENT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        ) as process:
            time.sleep(moments.uniform(0.5, 1.1) * seconds)
            process.send_signal(signal.SIGKILL)
    assert simcrop(*arguments(folder, tmp_path / "killed")).returncode == 0
    assert (tmp_path / "killed/features.csv").read_bytes() == (tmp_path / "whole/features.csv").read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir() if path.name[0] != ".") == [
        "features.csv",
        "features.json",
        "scans.jsonl",
    ]


def test_files_of_scans_are_mended_and_measured_beside_features_of_reports(folder: Path, tmp_path: Path) -> None:
    config, out = next(folder.glob("*.yaml")), tmp_path / "out"
    command = ["embed", str(config), "--checkpoint", str(folder / "run"), "--out", str(out), "--workers", "1"]
    done = simcrop(*command, "--format", "h5", "--tokens")
    assert done.returncode == 0, done.stderr
    files = sorted((out / "features").rglob("*.h5"))
    assert done.stdout.splitlines()[-1] == f"{out}/features: features of {len(files)} scans; 0 cannot be used"
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-9])
    kept = files[1].stat().st_mtime_ns
    assert simcrop(*command, "--format", "h5", "--tokens").returncode == 0
    assert files[0].read_bytes() == whole
    assert files[1].stat().st_mtime_ns == kept
    rows = read_table(out / "features")
    assert len(rows) == len(files) == 8
    reports = tmp_path / "reports.csv"
    with reports.open("wb") as file:
        write_table(file, rows, None, "csv", {}, path=reports)
    given = ["--features", out / "features", "--text-features", reports, "--out", tmp_path / "measured"]
    done = simcrop("eval", "retrieval", config, *given)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "measured/metrics.json").read_text())["metrics"]
    assert found["report_to_volume"]["recall_at_1"]["value"] == found["volume_to_report"]["recall_at_1"]["value"] == 1
