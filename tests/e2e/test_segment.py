"""`simcrop eval segment` stopped and gone on, and without MONAI."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.segmenting import SHORT, msd_config, options, read_json, segment

pytest.importorskip("monai", reason="MONAI is not installed")

from simcrop.compose import evaluation

LONGER = (*SHORT, "segment.steps=30", "segment.test_studies=1", "segment.hausdorff=false")


@pytest.fixture(scope="module")
def msd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return msd_config(tmp_path_factory.mktemp("msd"))


def test_without_monai_the_remedy_is_named(
    msd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] == "monai":
            monkeypatch.setitem(sys.modules, name, None)
        elif name.startswith(("simcrop.adapters.evaluation.segmentation", "simcrop.compose.evaluation.segment")):
            monkeypatch.delitem(sys.modules, name)
    for name in ("segment", "segmentation_task"):
        monkeypatch.delattr(evaluation, name, raising=False)
    assert segment(msd, tmp_path) == 1
    [line] = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("simcrop: segmentation needs MONAI, and monai")
    assert line.endswith(" is absent; pip install 'simcrop[monai]'")


def steps(out: Path) -> int:
    path = out / "training.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def kill(config: Path, out: Path, at_step: int) -> None:
    """Start, and end it without warning once it has come so far."""
    command = [sys.executable, "-m", "simcrop_cli", "eval", "segment", str(config), "--out", str(out)]
    process = subprocess.Popen(
        [*command, *options(*LONGER)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 300
        while steps(out) < at_step:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "too slow"
            time.sleep(0.002)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def stop(config: Path, out: Path, at_step: int) -> int:
    """Go on here, and ask it to stop once it has come so far; returns the exit status."""

    def ask() -> None:
        while steps(out) < at_step:
            time.sleep(0.002)
        os.kill(os.getpid(), signal.SIGTERM)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    status = segment(config, out, *options(*LONGER))
    asking.join()
    return status


def test_a_killed_and_a_stopped_training_go_on_as_if_they_had_not_been(msd: Path, tmp_path: Path) -> None:
    calm, out = tmp_path / "calm", tmp_path / "out"
    assert segment(msd, calm, *options(*LONGER)) == 0
    kill(msd, out, at_step=5)
    assert (out / "training" / "latest").is_file()
    assert stop(msd, out, at_step=9) == 128 + signal.SIGTERM
    assert 9 <= steps(out) < 30
    assert not (out / "metrics.json").exists()
    assert segment(msd, out, *options(*LONGER)) == 0
    assert (out / "training.jsonl").read_text() == (calm / "training.jsonl").read_text()
    ours, wanted = (load_file(each / "segmenter" / "model.safetensors") for each in (out, calm))
    assert all((ours[name] == wanted[name]).all() for name in wanted)
    assert read_json(out / "metrics.json")["metrics"] == read_json(calm / "metrics.json")["metrics"]
    assert not (out / "training").exists()
