"""Whatever a command writes has the mode that the umask gives, so that a group can share it, or nobody sees it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import labelled_data
from support.modes import UMASKS, umask, wrong_modes

from simcrop_cli.__main__ import main

RUN = ("train.checkpoint_every=1", "train.picture_every=1", "evaluation.probe_labelled=1", "data.storage=blosc2")
FORMATS = ("simcrop", "authors", "monai", "transformers", "monai-bundle")


def commands(yaml: Path, here: Path) -> Iterator[list[str]]:
    """One of each that writes, into folders of `here`."""
    model = ["--checkpoint", str(here / "run")]
    scans = str(yaml.parent / "studies" / "1.nii.gz")
    kept = ["--set", f"data.prepared={here}/prepared"]
    yield ["train", str(yaml), "--out", str(here / "run"), *kept, *(part for key in RUN for part in ("--set", key))]
    yield ["data", "prepare", str(yaml), *kept]
    for task in ("probe", "finetune", "retrieval"):
        yield ["eval", task, str(yaml), *model, "--out", str(here / "run/eval" / task), *kept]
    for form in ("csv", "parquet", "npz"):
        yield ["embed", scans, *model, "--out", str(here / "features" / form), "--format", form, "--workers", "1"]
    yield ["predict", scans, "--checkpoint", str(here / "run/eval/finetune"), "--out", str(here / "predictions")]
    for kind in FORMATS:
        yield ["export", *model, "--out", str(here / "exports" / kind), "--format", kind]
    for name in ("map.png", "map.nii.gz", "page.html"):
        sentence = ["--sentence", "The heart is normal."]
        yield ["locate", *model, "--volume", scans, *sentence, "--out", str(here / "located" / name)]
    yield ["report", str(here / "run"), "--out", str(here / "report.html")]
    yield ["data", "phantom", str(here / "phantoms"), "--cases", "1"]
    yield ["data", "check", str(yaml), "--report", str(here / "check.jsonl"), *kept]


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Studies with labels, and a configuration."""
    return labelled_data.write_config(tmp_path_factory.mktemp("labelled"))


@pytest.mark.parametrize("mask", [*UMASKS[:1], *(pytest.param(mask, marks=pytest.mark.slow) for mask in UMASKS[1:])])
def test_every_file_and_folder_has_the_mode_of_the_umask(yaml: Path, tmp_path: Path, mask: int) -> None:
    pytest.importorskip("monai")
    pytest.importorskip("pyarrow")
    pytest.importorskip("blosc2")
    here = tmp_path / "here"
    with umask(mask):
        here.mkdir()
        for command in commands(yaml, here):
            assert main(command) == 0, command
    assert wrong_modes(tmp_path, mask) == []
    suffixes = {path.suffix for path in here.rglob("*") if path.is_file()}
    assert {
        ".safetensors",
        ".pth",
        ".parquet",
        ".npz",
        ".png",
        ".html",
        ".csv",
        ".yaml",
        ".jsonl",
        ".blosc2",
    } <= suffixes
