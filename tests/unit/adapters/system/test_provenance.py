"""The record of where a checkpoint comes from."""

import hashlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from simcrop.adapters.system.provenance import data_fingerprint, git_commit, versions, weights_sha256
from simcrop.core.data.study import Report, Study

STUDY = Study("s1", "p1", Report("Clear.", ""), ("v1", "v2"), "train", {"Emphysema": 1})


def test_versions_are_those_that_run() -> None:
    assert versions()["torch"] == torch.__version__
    assert set(versions()) == {"simcrop", "torch", "python"}


def test_commit_of_a_tracked_folder_only(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    tracked, untracked = tmp_path / "tracked", tmp_path / "site-packages"
    for folder in (tracked, untracked):
        folder.mkdir()
        (folder / "code.py").write_text("")
    assert git_commit(tracked) is None
    git("init", "-q")
    git("add", "tracked")
    git("commit", "-q", "-m", "first")
    assert git_commit(tracked) == git("rev-parse", "HEAD")
    assert git_commit(untracked) is None


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_commit(Path(__file__).parent) is None


@pytest.mark.parametrize(
    "other",
    [
        replace(STUDY, study_id="s2"),
        replace(STUDY, patient_id="p2"),
        replace(STUDY, report=Report("Clear", ".")),
        replace(STUDY, reconstructions=("v1",)),
        replace(STUDY, labels={"Emphysema": 0}),
    ],
)
def test_fingerprint_changes_with_any_part_of_a_study(other: Study) -> None:
    parts = {"train": [STUDY], "validation": []}
    assert data_fingerprint(parts) == data_fingerprint({"train": [replace(STUDY)], "validation": []})
    assert data_fingerprint(parts) != data_fingerprint({"train": [other], "validation": []})
    assert data_fingerprint(parts) != data_fingerprint({"train": [], "validation": [STUDY]})


@given(st.text(), st.text())
def test_a_fingerprint_is_that_of_the_studies_as_python_shows_them(findings: str, impression: str) -> None:
    # Checkpoints of older versions hold it, and are refused for any other.
    study = replace(STUDY, report=Report(findings, impression))
    labels = sorted(study.labels.items())
    row = ("train", study.study_id, study.patient_id, study.report, study.reconstructions, labels)
    assert data_fingerprint({"train": [study]}) == hashlib.sha256(repr(row).encode()).hexdigest()


def test_weights_hash_changes_with_value_type_and_name() -> None:
    module = nn.Linear(2, 2)
    before = weights_sha256(module)
    assert weights_sha256(module) == before
    assert weights_sha256(nn.Sequential(module)) != before
    assert weights_sha256(module.to(torch.bfloat16)) != before
    module.float()
    with torch.no_grad():
        module.bias[0] += 1e-3
    assert weights_sha256(module) != before
