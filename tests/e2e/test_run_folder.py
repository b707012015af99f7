"""Two processes and one folder: the second one leaves at once and changes nothing, whatever it is."""

import json
import random
import re
import signal
import time
from pathlib import Path

import pytest
from support.owning import command, held, wait_for, write_record
from support.tiny_data import write_config

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.compose.locating import locate
from simcrop.compose.reporting import report
from simcrop_cli.__main__ import main

ROUNDS = 20
KILLS = 4
ENDLESS = ("--set", "train.steps=5000", "--set", "train.evaluate_every=5000", "--set", "train.picture_every=5000")
SHORT = ("train.steps=2", "train.warmup_steps=1")


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, tiny.yaml, and a finished run, run."""
    folder = tmp_path_factory.mktemp("setting")
    compose.train(load_config(write_config(folder), SHORT), out=folder / "run")
    return folder


def steps(out: Path) -> list[int]:
    path = out / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line)["step"] for line in lines]


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything in a folder but its lock."""
    paths = [path for path in folder.rglob("*") if not path.name.startswith(".simcrop")]
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in paths}


def test_a_second_training_in_the_folder_leaves_and_the_first_ends_as_if_alone(setting: Path, tmp_path: Path) -> None:
    arguments = ["train", str(setting / "tiny.yaml"), "--out", str(tmp_path / "run"), "--set", "train.steps=60"]
    first = command(arguments, tmp_path / "first.txt")
    wait_for(lambda: len(steps(tmp_path / "run")) > 3, first)
    second = command(arguments, tmp_path / "second.txt")
    second.join(60)
    assert first.is_alive()
    assert second.exitcode == 1
    assert re.fullmatch(
        rf"simcrop: {tmp_path}/run: process {first.pid} on \S+ has been working here since \S+ \S+; "
        r"wait until it is done, stop it, or name another folder\n",
        (tmp_path / "second.txt").read_text(),
    )
    first.join(300)
    assert first.exitcode == 0, (tmp_path / "first.txt").read_text()
    assert steps(tmp_path / "run") == list(range(1, 61))
    assert not list((tmp_path / "run").glob(".*"))


def test_nothing_is_lost_however_often_a_second_process_comes_and_is_killed(setting: Path, tmp_path: Path) -> None:
    out, draw = tmp_path / "run", random.SystemRandom()
    arguments = ["train", str(setting / "tiny.yaml"), "--out", str(out), *ENDLESS]
    first = command(arguments, tmp_path / "first.txt")
    wait_for(lambda: len(steps(out)) > 3, first)
    for number in range(ROUNDS):
        others = (("--resume", "never"), ("--set", "train.steps=1"), ("--resume", str(setting / "run")), ())[number % 4]
        second = command([*arguments, *others], tmp_path / "second.txt")
        if number % 2:
            time.sleep(draw.uniform(0, 0.4))
            second.kill()
        second.join(60)
        assert second.exitcode in ((1, -signal.SIGKILL) if number % 2 else (1,)), (tmp_path / "second.txt").read_text()
        assert first.is_alive(), (tmp_path / "first.txt").read_text()
    first.terminate()
    first.join(60)
    assert first.exitcode == 143
    made = steps(out)
    assert made == list(range(1, len(made) + 1))
    assert (out / "checkpoints" / "latest").read_text() == f"step_{made[-1]:08d}\n"


def test_a_killed_process_is_followed_at_once(setting: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["train", str(setting / "tiny.yaml"), "--out", str(out), *ENDLESS, "--set", "data.num_workers=1"]
    for _ in range(KILLS):
        before = max(steps(out), default=0)
        process = command(arguments, tmp_path / "killed.txt")
        wait_for(lambda before=before: max(steps(out), default=0) > before + 3, process)
        process.kill()
        process.join()
        assert (out / ".simcrop.lock.json").exists()
    process = command(arguments, tmp_path / "log.txt")
    wait_for(lambda: (tmp_path / "log.txt").exists() and "continuing" in (tmp_path / "log.txt").read_text(), process)
    process.terminate()
    process.join(60)
    assert process.exitcode == 143
    assert steps(out) == list(range(1, len(steps(out)) + 1))
    assert not list(out.glob(".*"))


COMMANDS = {
    "a training": "train {yaml} --out {out}",
    "one that continues nothing": "train {yaml} --out {out} --resume never",
    "eval finetune": "eval finetune {yaml} --checkpoint {run} --out {out}",
    "eval segment": "eval segment {yaml} --checkpoint {run} --out {out}",
    "eval probe": "eval probe {yaml} --checkpoint {run} --out {out}",
    "eval grounding": "eval grounding {yaml} --checkpoint {run} --out {out}",
    "embed": "embed {scans} --checkpoint {run} --out {out}",
    "embed, one file a scan": "embed {scans} --checkpoint {run} --out {out} --format npz",
    "predict": "predict {scans} --checkpoint {run} --out {out}",
    "phantoms": "data phantom {out} --cases 2",
}


@pytest.mark.parametrize("typed", COMMANDS.values(), ids=COMMANDS)
def test_no_command_that_writes_into_a_folder_shares_it(
    setting: Path, tmp_path: Path, typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("monai") if "segment" in typed else None
    out = tmp_path / "out"
    names = {"yaml": setting / "tiny.yaml", "run": setting / "run", "scans": setting / "studies", "out": out}
    with held(out) as first:
        (out / "at work").unlink()
        before = snapshot(tmp_path)
        assert main(typed.format(**names).split()) == 1
        assert snapshot(tmp_path) == before
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith(f"simcrop: {out}: process {first.pid} on ")


def test_two_exports_into_one_folder(setting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "export"
    arguments = ["export", "--checkpoint", str(setting / "run"), "--out", str(out), "--format", "monai"]
    assert main(arguments) == 0
    before = snapshot(out)
    with held(out, beside=True) as first:
        (out / "at work").unlink()
        assert main([*arguments, "--force"]) == 1
        assert snapshot(out) == before
    assert f"simcrop: {out}: process {first.pid} on " in capsys.readouterr().err
    assert main([*arguments, "--force"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["export"]


def test_shards_share_a_folder_and_equal_ones_do_not(
    setting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["embed", str(setting / "studies"), "--checkpoint", str(setting / "run"), "--out"]
    with held(tmp_path / "out", part="_1_of_2"):
        assert main([*arguments, str(tmp_path / "out"), "--shard", "1/2"]) == 1
        assert "has been working here since" in capsys.readouterr().err
        assert main([*arguments, str(tmp_path / "out"), "--shard", "2/2"]) == 0
    both = [*arguments, str(tmp_path / "both"), "--shard"]
    parts = [command([*both, f"{part}/2"], tmp_path / f"{part}.txt") for part in (1, 2)]
    for part in parts:
        part.join(300)
        assert part.exitcode == 0
    rows = [path.read_text().splitlines()[1:] for path in (tmp_path / "both").glob("features_*_of_2.csv")]
    assert sum(map(len, rows)) == 8
    assert not list((tmp_path / "both").glob(".*"))


def test_what_reads_a_run_takes_no_lock(setting: Path, tmp_path: Path) -> None:
    evaluation = ["eval", "retrieval", str(setting / "tiny.yaml"), "--checkpoint", str(setting / "run")]
    with held(setting / "run"):
        assert report(setting / "run", tmp_path / "page.html").is_file()
        locate(str(setting / "run"), setting / "studies/0.nii.gz", ["The heart is normal."], [tmp_path / "map.nii.gz"])
        assert main(["info", str(setting / "run")]) == 0
        assert main([*evaluation, "--out", str(tmp_path / "eval")]) == 0


def test_another_host_is_named_with_what_frees_the_folder(
    setting: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = write_record(tmp_path / "run")
    arguments = ["train", str(setting / "tiny.yaml"), "--out", str(tmp_path / "run")]
    arguments += [part for option in SHORT for part in ("--set", option)]
    assert main(arguments) == 1
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"simcrop: {tmp_path}/run: process 4711 on node7 has been working here since 2026-01-02")
    assert line.endswith(f"; if it is gone, delete {tmp_path}/run/.simcrop.lock* or wait 5 minutes")
    for path in (*record.parent.glob(".simcrop.lock*"),):
        path.unlink()
    assert main(arguments) == 0


def test_trainings_and_preparations_share_what_is_prepared(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    options = [part for option in SHORT for part in ("--set", option)]
    typed = {
        "one": ["train", str(config), "--out", str(tmp_path / "one"), *options],
        "two": ["train", str(config), "--out", str(tmp_path / "two"), *options],
        "first half": ["data", "prepare", str(config), "--shard", "1/2"],
        "second half": ["data", "prepare", str(config), "--shard", "2/2"],
        "all": ["data", "prepare", str(config)],
    }
    processes = {name: command(arguments, tmp_path / f"{name}.txt") for name, arguments in typed.items()}
    for name, process in processes.items():
        process.join(300)
        assert process.exitcode == 0, (tmp_path / f"{name}.txt").read_text()
    assert main(["data", "prepare", str(config), "--verify"]) == 0
    assert steps(tmp_path / "one") == steps(tmp_path / "two") == [1, 2]
    weights = [path.read_bytes() for path in sorted(tmp_path.glob("*/checkpoints/*/model.safetensors"))]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "prepared").rglob(".*"))
