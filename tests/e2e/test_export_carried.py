"""Exports with their own code, in processes where simcrop cannot be imported."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.command import ENVIRONMENT
from support.tiny_data import SENTENCES, write_config

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.compose.embedding import EmbedOptions, embed
from simcrop.compose.predicting import PredictOptions, predict
from simcrop_cli.__main__ import main

STEPS = ("train.steps=2", "train.warmup_steps=0", "train.checkpoint_every=2", "train.evaluate_every=2")
SCANS = ("0.nii.gz", "7.nii.gz")
LOADING = """
import sys
try:
    import simcrop
except ImportError:
    pass
else:
    raise SystemExit("simcrop was imported")
import torch
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

folder, out, *scans = sys.argv[1:]
model = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
processor = AutoImageProcessor.from_pretrained(folder, trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
words = tokenizer(%r, padding=True, truncation=True, return_tensors="pt")
with torch.no_grad():
    found = model(**processor(scans), **words)
torch.save({"tokens": found[0], "features": found[1], "scores": found[2]}, out)
assert "simcrop" not in sys.modules
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, beside its studies; tests only read it."""
    folder = tmp_path_factory.mktemp("carried")
    threads = torch.get_num_threads()
    compose.train(load_config(write_config(folder), STEPS), out=folder / "run")
    torch.set_num_threads(threads)
    return folder / "run"


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """An environment without network, in which importing simcrop fails even where it is installed."""
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "simcrop.py").write_text('raise ImportError("blocked")\n')
    places = {"PYTHONPATH": str(tmp_path / "blocked"), "HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    return ENVIRONMENT | places


def scans_of(run: Path) -> list[Path]:
    return [run.parent / "studies" / name for name in SCANS]


def embedded(run: Path, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """(features, tokens) of the scans by simcrop itself."""
    embed(scans_of(run), str(run), out, EmbedOptions(form="npz", tokens=True))
    found = [np.load(path) for path in sorted(out.rglob("*.npz"))]
    return np.stack([each["features"] for each in found]), np.stack([each["tokens"] for each in found])


def test_transformers_loads_the_folder_and_computes_the_same(
    run: Path, tmp_path: Path, elsewhere: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chest"
    assert main(["export", "--checkpoint", str(run), "--out", str(out), "--format", "transformers"]) == 0
    assert f'AutoModel.from_pretrained("{out}", trust_remote_code=True) loads it' in capsys.readouterr().out
    command = [sys.executable, "-c", LOADING % (SENTENCES[:2],), str(out), str(tmp_path / "found.pt")]
    subprocess.run([*command, *map(str, scans_of(run))], check=True, cwd=tmp_path, env=elsewhere)
    found = torch.load(tmp_path / "found.pt")
    features, tokens = embedded(run, tmp_path / "embedded")
    np.testing.assert_allclose(found["tokens"], tokens, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["features"], features, rtol=0, atol=1e-6)
    prompts = tmp_path / "prompts.yaml"
    prompts.write_text(json.dumps({"Nodule": {"present": [SENTENCES[0]], "absent": [SENTENCES[1]]}}))
    table = predict(scans_of(run), str(run), tmp_path / "predicted", PredictOptions(prompts=prompts)).path
    own = np.stack([*read_table(table).values()])[:, 0]
    np.testing.assert_allclose(found["scores"][:, 0] - found["scores"][:, 1], own, rtol=0, atol=1e-5)
    assert abs(own).max() > 1e-3


def test_monai_runs_the_bundle_and_writes_the_same(
    run: Path, tmp_path: Path, elsewhere: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("monai", "fire"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    bundle = tmp_path / "chest"
    assert main(["export", "--checkpoint", str(run), "--out", str(bundle), "--format", "monai-bundle"]) == 0
    assert (bundle / "docs" / "README.md").read_bytes() == (bundle / "README.md").read_bytes()
    scans = tmp_path / "scans"
    scans.mkdir()
    for path in scans_of(run):
        os.link(path, scans / path.name)
    options = ("--dataset_dir", str(scans), "--output_dir", str(tmp_path / "out"), "--save_tokens", "True")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=bundle, env=elsewhere)
    assert done.returncode == 0, done.stderr
    rows = read_table(tmp_path / "out" / "features.csv")
    features, tokens = embedded(run, tmp_path / "embedded")
    assert [*rows] == [*SCANS]
    np.testing.assert_allclose(np.stack([*rows.values()]), features, rtol=0, atol=1e-6)
    for name, expected in zip(SCANS, tokens, strict=True):
        found = np.load(tmp_path / "out" / "tokens" / f"{name}.npz")["tokens"]
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
