"""`simcrop predict` as a stranger types it."""

from pathlib import Path

from support.command import simcrop
from support.damage import synthetic_chest, write
from support.tiny_data import write_config

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.core.reports.prompts import WORDS


def test_scans_without_reports_get_a_score_for_every_finding(tmp_path: Path) -> None:
    config = load_config(write_config(tmp_path), ["train.steps=1", "train.warmup_steps=0"])
    compose.train(config, out=tmp_path / "run")
    for number in range(2):
        write(tmp_path / f"scans/{number}.nii.gz", synthetic_chest(number))
    (tmp_path / "scans/2.nii.gz").write_bytes(b"")
    arguments = ("predict", tmp_path / "scans", "--checkpoint", tmp_path / "run", "--out", tmp_path / "out")
    done = simcrop(*arguments, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/out/predictions.csv: numbers of 2 scans; 1 cannot be used"
    assert "[container.empty]" in done.stdout
    lines = (tmp_path / "out/predictions.csv").read_text().splitlines()
    assert lines[0] == ",".join(["scan", *WORDS])
    assert [line.split(",")[0] for line in lines[1:]] == [f"{tmp_path}/scans/{number}.nii.gz" for number in range(2)]
    assert simcrop(*arguments, "--strict", "--workers", "1").returncode == 1
