"""Two ranks of batch b give the losses and gradients of one process with batch 2b."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import REPOSITORY
from support.ranks_worker import CASES, UNEVEN

WORKER = REPOSITORY / "tests" / "support" / "ranks_worker.py"
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join(str(REPOSITORY / part) for part in ("", "cli", "tests")),
}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def launch(*command: str) -> None:
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        _, errors = process.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its ranks on SIGTERM only
        process.communicate()
        raise
    assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with what one process and two ranks found."""
    folders = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    for launcher, folder in zip(((sys.executable,), TORCHRUN), folders, strict=True):
        launch(*launcher, str(WORKER), str(folder))
    return folders


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_losses_and_gradients_of_one(results: tuple[Path, Path], case: str) -> None:
    one, two = (folder / f"{case}.json" for folder in results)
    rows, expected = json.loads(two.read_text()), json.loads(one.read_text())
    assert len(rows) == 3
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, rel=1e-5)
    gradients, wanted_gradients = (load_file(folder / f"{case}.safetensors") for folder in results[::-1])
    assert gradients.keys() == wanted_gradients.keys()
    for name, wanted in wanted_gradients.items():
        assert wanted.abs().max() > 0, name
        torch.testing.assert_close(gradients[name], wanted, rtol=1e-5, atol=1e-5, msg=name)


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize(
    ("case", "gathers", "gradients"),
    [
        ("report", 3, 2),
        ("local", 4, 3),
        ("global", 6, 4),
        # Two micro-batches, that are compared once.
        ("report together", 3, 2),
        ("global together", 6, 4),
        ("local together", 7, 5),
    ],
)
def test_a_step_has_few_exchanges(
    results: tuple[Path, Path], case: str, gathers: int, gradients: int, rank: int
) -> None:
    # Summed: what the CPUs know, the losses, and a gradient for each feature or score that was gathered.
    counted = json.loads((results[1] / f"{case} exchanges {rank}.json").read_text())
    assert counted == {"all_reduce": 2 + gradients, "all_gather": gathers}


def test_the_cases_differ_so_that_agreement_means_something(results: tuple[Path, Path]) -> None:
    losses = {case: json.loads((results[0] / f"{case}.json").read_text())[0]["loss_alignment"] for case in CASES}
    assert losses["report"] != pytest.approx(losses["global"], rel=0.01)
    assert any(0 in counts for counts in UNEVEN)
