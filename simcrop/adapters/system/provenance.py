"""Record where a checkpoint comes from: versions, commit, data, and weights that are kept elsewhere."""

import hashlib
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from simcrop.core.data.study import Study


def versions() -> dict[str, str]:
    """Versions of what computed."""
    return {
        "simcrop": version("simcrop"),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def git_commit(folder: Path | None = None) -> str | None:
    """Commit of the repository that `folder` is tracked in, this package's by default; None where it is in none."""
    folder = folder or Path(__file__).parents[1]
    git = ("git", "-C", str(folder))
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", "."], check=True, capture_output=True)
        found = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


def data_fingerprint(parts: Mapping[str, Sequence[Study]]) -> str:
    """Hash of what is learned from: which studies lie in which part, their reports, labels and volumes' names.

    Args:
        parts: name ("train", "validation") -> studies.
    """
    digest = hashlib.sha256()
    for name, studies in parts.items():
        for study in studies:
            row = (
                name,
                study.study_id,
                study.patient_id,
                _AsItIs(f"Report(findings={study.report.findings!r}, impression={study.report.impression!r})"),
                study.reconstructions,
                sorted(study.labels.items()),
            )
            digest.update(repr(row).encode())
    return digest.hexdigest()


class _AsItIs(str):
    """A text that is shown as it is: fingerprints hold the repr of a report, whose own way to it takes far longer."""

    __slots__ = ()
    __repr__ = str.__str__


def weights_sha256(module: nn.Module) -> str:
    """Hash of every tensor of a module with its name, type and shape, wherever its files lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
