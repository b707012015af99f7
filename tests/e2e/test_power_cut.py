"""A power cut at any instant of a run, or a copy of its folder: no row lacks behind a checkpoint, and it goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.power_cut import Disk, Tree, put, watched
from support.tiny_data import write_config

from simcrop.adapters.checkpoints.folder import find_checkpoint, newest_whole
from simcrop_cli.__main__ import main

CLOCK_KEYS = {"studies_per_second", "data_wait"}
OPTIONS = ("train.steps=8", "train.picture_every=4", "train.evaluate_every=4", "train.trackers=[]")


def train(folder: Path, out: Path) -> int:
    settings = [part for option in OPTIONS for part in ("--set", option)]
    return main(["train", str(folder / "tiny.yaml"), "--out", str(out), *settings])


def rows(run: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl without what the clock decides."""
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [{key: value for key, value in json.loads(line).items() if key not in CLOCK_KEYS} for line in lines]


def pictures(run: Path) -> set[str]:
    return {path.name for path in run.glob("pictures/*.png") if path.stat().st_size}


def files(run: Path) -> dict[str, str]:
    """Hashes of the files of the newest checkpoint."""
    return dict(find_checkpoint(run).manifest["files"])


def test_what_a_checkpoint_stands_on_is_on_the_disk_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path)
    runs, left = tmp_path / "runs", dict[str, Tree]()
    runs.mkdir()

    def cut(disk: Disk) -> None:
        for kind, tree in {"strict": disk.strict(), "early": disk.early(), "copied": disk.copied()}.items():
            if tree not in left.values():
                left[f"{len(left)}_{kind}"] = tree

    disk = watched(runs, monkeypatch, cut)
    assert train(tmp_path, runs / "run") == 0
    left["end_strict"], left["end_early"] = disk.strict(), disk.early()
    disk.close()
    monkeypatch.undo()

    undisturbed, going_on = rows(runs / "run"), dict[int, Path]()
    assert [row["step"] for row in undisturbed] == [*range(1, 9)]
    steps: set[int] = set()
    for name, tree in left.items():
        put(tree, tmp_path / name)
        run = tmp_path / name / "run"
        newest = newest_whole(run / "checkpoints")
        step = 0 if newest is None else newest.step
        steps.add(step)
        assert rows(run)[:step] == undisturbed[:step], name
        assert len(pictures(run)) >= 2 * (step // 4), name
        going_on.setdefault(step, run)  # the worst of them: not even the name of the latest is certain
        if name.startswith("end"):
            assert rows(run) == undisturbed, "a run that has ended loses nothing"
            assert json.loads((run / "summary.json").read_text())["step"] == 8
    assert steps == {0, 3, 4, 6, 8}
    assert len(left) > 40
    for run in (going_on[4], going_on[6]):
        assert train(tmp_path, run) == 0
        assert rows(run) == undisturbed
        assert pictures(run) == pictures(runs / "run")
        assert files(run) == files(runs / "run")
