"""The manifest of a checkpoint, and the files that it may name: those inside its folder, and no others."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from simcrop.adapters.config.errors import why_invalid
from simcrop.adapters.system.files import sha256_of
from simcrop.adapters.system.outside_files import read_json, require_regular
from simcrop.core.errors import CheckpointError

MANIFEST = "manifest.json"
_MOST_FILES = 1000
_MOST_BYTES = 64 << 20
"""Of a file that holds no tensors; the largest is a tokenizer's."""
_TENSORS = ".safetensors"

_Text = Annotated[str, Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _TextEncoder(_Part):
    source: _Text
    revision: _Text | None = None
    sha256: _Text | None = None


class _Classifier(_Part):
    labels: list[_Text]


class _Manifest(_Part):
    """Types of what is read of a manifest; there may be more in it."""

    step: Annotated[int, Field(ge=0)]
    files: Annotated[dict[_Text, _Text], Field(max_length=_MOST_FILES)]
    version: int = 1
    format: _Text = "simcrop"
    metrics: dict[_Text, float] | None = None
    versions: dict[_Text, _Text] = {}
    git_commit: _Text | None = None
    data_fingerprint: _Text | None = None
    text_encoder: _TextEncoder | None = None
    settings: dict[_Text, Any] = {}
    classifier: _Classifier | None = None


def read_manifest(path: Path) -> Mapping[str, Any]:
    """The content of a manifest, every value that is read of it of its type.

    Raises:
        CheckpointError: it is absent or damaged, or names a file by a path that may lead out of its folder.
    """
    try:
        manifest: Mapping[str, Any] = read_json(path)
        _Manifest.model_validate(manifest)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); is this a checkpoint folder?") from error
    except ValueError as error:
        reason = f"not a manifest: {why_invalid(error)}"
        raise CheckpointError(f"{path}: damaged ({reason}); take another checkpoint") from error
    for name in manifest["files"]:
        if not _is_inside(name):
            raise CheckpointError(
                f"{path}: damaged (it names the file {ascii(name)[:80]}, and only files inside its folder belong to a "
                f"checkpoint); take another checkpoint"
            )
    return manifest


def verified_file(folder: Path, name: str, sha256: str) -> Path:
    """A file of a checkpoint whose hash is the one of its manifest.

    Args:
        folder: of the checkpoint.
        name: as the manifest has it.
        sha256: hexadecimal.

    Raises:
        CheckpointError: it is absent, lies elsewhere or is larger than any of its kind; or has changed since it was
            written.
    """
    path = folder / name
    try:
        size = require_regular(path)
        if not _lies_in(folder, path):
            raise CheckpointError(
                f"{path}: is a link to {os.path.realpath(path)}, outside its checkpoint; put the file itself there, or "
                f"take another checkpoint"
            )
        if size > _MOST_BYTES and path.suffix != _TENSORS:
            raise ValueError(f"{size:,} bytes are more than such a file has")
        found = sha256_of(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); take another checkpoint") from error
    except ValueError as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{path}: damaged ({error}); take another checkpoint") from error
    if found != sha256:
        raise CheckpointError(f"{path}: damaged (its sha256 is not the manifest's); take another checkpoint")
    return path


def _is_inside(name: str) -> bool:
    """Whether a name stands for one file below a folder, whatever the system, and for it alone."""
    path, windows = PurePosixPath(name), PureWindowsPath(name)
    is_plain = path.as_posix() == name != "." and name.isprintable() and "\\" not in name
    return is_plain and not path.is_absolute() and not windows.drive and ".." not in path.parts


def _lies_in(folder: Path, path: Path) -> bool:
    """Whether a file lies below a folder, links followed; in the hub's cache its files are links to `blobs` nearby."""
    rooms = [Path(os.path.realpath(folder))]
    if folder.parent.name == "snapshots":
        rooms.append(Path(os.path.realpath(folder.parent.parent / "blobs")))
    real = Path(os.path.realpath(path))
    return any(real.is_relative_to(room) for room in rooms)
