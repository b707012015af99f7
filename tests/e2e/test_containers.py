"""The containers of deploy/docker: their entry point as a challenge runs it, and docker itself where it is there."""

import importlib.util
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest
from support import REPOSITORY, labelled_runs
from support.damage import synthetic_chest, write
from support.dockerfile import copied, environment, instructions

import simcrop
from simcrop.compose.evaluation.finetune import finetune
from simcrop.core.reports.prompts import WORDS
from simcrop_cli.__main__ import main

FOLDER = REPOSITORY / "deploy/docker"
DOCKERFILE = FOLDER / "Dockerfile"
SENTENCES = ["The heart is normal.", "heart"]
REAL = ("ts_chest_cta_full.nii.gz", "elastix_leftlung_small.nii.gz")
GOOD = ("first.nii.gz", "below/second.nii.gz")
BROKEN = "broken.nii.gz"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a classifier in its folder, sentences, two scans (real where there are some), and a broken one."""
    folder = tmp_path_factory.mktemp("containers")
    made = labelled_runs.trained(folder)
    labelled_runs.evaluate(finetune, made.findings, made.run / "eval/finetune", checkpoint=made.run)
    real = os.environ.get("SIMCROP_REAL_CT")
    for number, name in enumerate(GOOD):
        (folder / "input" / name).parent.mkdir(parents=True, exist_ok=True)
        if real:
            shutil.copyfile(Path(real, REAL[number]), folder / "input" / name)
        else:
            write(folder / "input" / name, synthetic_chest(number))
    whole = (folder / "input" / GOOD[1]).read_bytes()
    (folder / "input" / BROKEN).write_bytes(whole[: len(whole) // 2])
    (folder / "input/inputs.json").write_text("[]")
    (folder / "sentences.txt").write_text("\n".join(SENTENCES))
    return folder


def told(given: Path, out: Path, variables: dict[str, str | Path]) -> dict[str, str]:
    """What the entry point is told, beside the image's own variables."""
    folders = {"input": given / "input", "output": out, "model": given / "run"}
    return {f"SIMCROP_{name.upper()}": str(value) for name, value in {**folders, **variables}.items()}


def run(given: Path, out: Path, task: str, **variables: str | Path) -> subprocess.CompletedProcess[str]:
    """The entry point as a process, with the image's variables and no others; its /tmp lies beside the output."""
    scratch = out.with_name("scratch")
    scratch.mkdir(exist_ok=True)
    image = {name: value.replace("/tmp", str(scratch)) for name, value in environment(DOCKERFILE).items()}
    here = {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY}/cli", "OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    command = [sys.executable, "-P", str(FOLDER / "container.py"), task]
    env = {**image, **here, **told(given, out, variables)}
    return subprocess.run(command, env=env, cwd=given, capture_output=True, text=True, check=False)


class Here:
    """The entry point in this process, which is quicker."""

    def __init__(self, given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        spec = importlib.util.spec_from_file_location("container", FOLDER / "container.py")
        assert spec is not None
        assert spec.loader is not None
        self._given, self._monkeypatch, self._module = given, monkeypatch, importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)

    def __call__(self, out: Path, *tasks: str, **variables: str | Path) -> int:
        with self._monkeypatch.context() as patch:
            patch.chdir(self._given)
            for name, value in told(self._given, out, variables).items():
                patch.setenv(name, value)
            return self._module.main(tasks)


@pytest.fixture
def here(given: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here(given, monkeypatch)


def results(out: Path) -> dict[str, Any]:
    return json.loads((out / "results.json").read_text())


def paths_below(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_features_are_those_of_embed_and_a_broken_scan_is_named(given: Path, here: Here, tmp_path: Path) -> None:
    before = paths_below(given)
    done = run(given, tmp_path / "out", "embed")
    assert done.returncode == 0, done.stderr
    assert paths_below(given) == before
    files = {path.relative_to(tmp_path / "out/features").as_posix() for path in tmp_path.rglob("*.h5")}
    assert files == {f"{name}.h5" for name in GOOD}
    model = simcrop.load_model(given / "run")
    for name in GOOD:
        with h5py.File(tmp_path / f"out/features/{name}.h5") as file:
            assert [*file] == ["features"]
            assert np.array_equal(file["features"][()], model.embed(given / "input" / name).numpy())
    lines = [json.loads(line) for line in (tmp_path / "out/scans.jsonl").read_text().splitlines()]
    assert {line["scan"]: line.get("code") for line in lines if line["status"] == "refused"} == {
        BROKEN: "container.truncated"
    }
    assert here(tmp_path / "out", "embed", strict="1") == 1


def test_probabilities_are_those_of_predict(given: Path, tmp_path: Path) -> None:
    classifier = given / "run/eval/finetune"
    done = run(given, tmp_path / "out", "predict", model=classifier)
    assert done.returncode == 0, done.stderr
    outcome = results(tmp_path / "out")
    assert outcome["type"].startswith("probabilities of findings")
    assert [row["input_image_name"] for row in outcome["predictions"]] == ["below/second", "first"]
    loaded = simcrop.load_classifier(classifier)
    for row in outcome["predictions"]:
        found = loaded.predict(given / "input" / row["file"])
        assert row["probabilities"] == pytest.approx(found, rel=1e-6)
        known = {name: limit for name, limit in loaded.thresholds.items() if not math.isnan(limit)}
        assert row["present"] == {name: int(found[name] >= limit) for name, limit in known.items()}
    (refused,) = outcome["refused"]
    assert (refused["input_image_name"], refused["code"]) == ("broken", "container.truncated")
    assert "is cut off" in refused["message"]
    assert json.loads((tmp_path / "out/predictions.json").read_text()) == [{"outputs": [{"value": outcome}]}]
    assert (tmp_path / "out/predict/predictions.csv").exists()


def test_scores_of_sentences_are_called_no_probabilities(here: Here, tmp_path: Path) -> None:
    assert here(tmp_path / "out", task="predict", strict="1") == 1
    outcome = results(tmp_path / "out")
    assert "no probability" in outcome["type"]
    for row in outcome["predictions"]:
        assert "probabilities" not in row
        assert [*row["numbers"]] == [*WORDS]


def test_maps_are_those_of_locate_on_the_voxels_of_the_scan(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(given, tmp_path / "out", "locate", sentences=given / "sentences.txt")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/out/maps: maps of 2 scans; 1 cannot be used"
    outcome = results(tmp_path / "out")
    assert [(row["file"], row["code"]) for row in outcome["refused"]] == [(BROKEN, "container.truncated")]
    assert {row["file"] for row in outcome["predictions"]} == {*GOOD}
    for row in outcome["predictions"]:
        scan: Any = nib.load(given / "input" / row["file"])
        arguments = ["--checkpoint", given / "run", "--volume", given / "input" / row["file"]]
        sentences = [part for sentence in SENTENCES for part in ("--sentence", sentence)]
        assert main(["locate", *map(str, arguments), *sentences, "--out", str(tmp_path / "map.nii.gz")]) == 0
        assert [each["sentence"] for each in row["maps"]] == SENTENCES
        for number, each in enumerate(row["maps"], 1):
            written: Any = nib.load(tmp_path / "out" / each["file"])
            command: Any = nib.load(tmp_path / f"map_{number}.nii.gz")
            assert written.shape == scan.shape
            assert written.affine.tobytes() == scan.affine.tobytes()
            assert np.array_equal(written.get_fdata(), command.get_fdata())
        printed = capsys.readouterr().out
        assert [f"{each['cosine']:.3f}" for each in row["maps"]] == re.findall(r"cosine (\S+) at", printed)


def test_each_scan_may_have_sentences_of_its_own(here: Here, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/first.txt").write_text("\nheart is normal\n")
    assert here(tmp_path / "out", "locate", sentences=tmp_path / "own", strict="1") == 1
    outcome = results(tmp_path / "out")
    assert [[each["sentence"] for each in row["maps"]] for row in outcome["predictions"]] == [["heart is normal"]]
    missing = next(row["message"] for row in outcome["refused"] if row["file"] == GOOD[1])
    assert missing.startswith(f"SIMCROP_SENTENCES: {tmp_path}/own/below/second.txt cannot be read (No such file")


WRONG = {
    "a folder that is not there": ({"input": "/gone"}, "SIMCROP_INPUT: /gone is no folder; mount the scans there"),
    "a model that is not there": ({"model": "/gone"}, "SIMCROP_MODEL: /gone does not exist; mount the model at one of"),
    "another device": ({"device": "tpu"}, "SIMCROP_DEVICE: tpu is none of auto, cpu, cuda"),
    "sentences that are not there": ({"sentences": "/gone.txt"}, "SIMCROP_SENTENCES: /gone.txt does not exist"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_variable_ends_in_one_line(
    here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    variables, message = WRONG[what]
    assert here(tmp_path / "out", "locate", **variables) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"simcrop: {message}")


def test_another_task_is_refused(here: Here, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert here(tmp_path / "out", "train") == 2
    expected = "simcrop: train: is none of embed, predict, locate; name one, or set SIMCROP_TASK\n"
    assert capsys.readouterr() == ("", expected)


def test_what_the_image_copies_is_there_and_not_kept_out() -> None:
    names = copied(DOCKERFILE)
    assert {"simcrop", "cli", "constraints.txt", "deploy/docker/container.py"} <= {*names}
    assert [name for name in names if not (REPOSITORY / name).exists()] == []
    kept = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in kept
    assert {line[1:] for line in kept if line.startswith("!")} == {*names}


def test_images_and_packages_are_pinned() -> None:
    found = instructions(DOCKERFILE)
    (image,) = (rest for name, rest in found if name == "ARG" and rest.startswith("PYTHON_IMAGE="))
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+", image)
    bases = {rest.split()[0] for name, rest in found if name == "FROM"}
    assert bases == {"${PYTHON_IMAGE}", "run-${VARIANT}"}
    installed = [rest for name, rest in found if name == "RUN" and re.search(r"pip .*\binstall\b", rest)]
    assert installed
    assert all("--constraint constraints.txt" in rest for rest in installed)


def test_the_image_is_of_no_user_and_fetches_nothing() -> None:
    found = dict(instructions(DOCKERFILE))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", found["USER"])
    assert found["ENTRYPOINT"].endswith('"/opt/simcrop/container.py"]')
    variables = environment(DOCKERFILE)
    assert variables["HF_HUB_OFFLINE"] == variables["TRANSFORMERS_OFFLINE"] == "1"
    places = ("HOME", "HF_HOME", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")
    assert all(Path(variables[name]).is_relative_to("/tmp") for name in places)


@pytest.mark.slow
def test_docker_builds_it_and_runs_it_without_rights(given: Path, tmp_path: Path) -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no docker daemon answers here")
    index = os.environ.get("PIP_EXTRA_INDEX_URL")
    if not index:
        pytest.skip("PIP_EXTRA_INDEX_URL names no index of torch's CPU wheels")
    options = ["--build-arg", "VARIANT=cpu", "--build-arg", f"TORCH_INDEX={index}", "--tag", "simcrop:test"]
    subprocess.run(["docker", "build", "--file", DOCKERFILE, *options, REPOSITORY], check=True)
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    mounts = {given / "input": "/input:ro", given / "run": "/model:ro", tmp_path / "out": "/output"}
    volumes = [part for here, there in mounts.items() for part in ("--volume", f"{here}:{there}")]
    rights = ["--read-only", "--user", "1234", "--network", "none", "--tmpfs", "/tmp", "--cap-drop", "ALL"]
    for task in ("embed", "predict", "locate"):
        allowed = ["--volume", f"{given}/sentences.txt:/s.txt:ro", "--env", "SIMCROP_SENTENCES=/s.txt"]
        subprocess.run(["docker", "run", "--rm", *rights, *volumes, *allowed, "simcrop:test", task], check=True)
    assert (tmp_path / f"out/features/{GOOD[0]}.h5").exists()
    assert (tmp_path / f"out/maps/{GOOD[0]}/2.nii.gz").exists()
