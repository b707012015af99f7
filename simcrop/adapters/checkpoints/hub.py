"""Models of the hub: downloaded, found in its cache, uploaded. huggingface_hub is imported when first needed."""

import logging
import re
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.encoder_file import AUTHORS_FILE, is_weights_name
from simcrop.adapters.checkpoints.folder import WEIGHTS
from simcrop.adapters.checkpoints.reference_scans import REFERENCES
from simcrop.core.errors import CheckpointError, one_line

_log = logging.getLogger("simcrop")

_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_FILES = ["manifest.json", "config.json", WEIGHTS, REFERENCES, "tokenizer/*", AUTHORS_FILE]
"""All that loading reads of a model; a repository may hold anything beside."""
SECONDS = 10.0
"""Longest wait for the hub's first answer, where it would else be the operating system's: minutes."""


def local_copy(source: str | Path, revision: str | None = None) -> Path:
    """The file or folder on this machine that a path or hub id means.

    Args:
        source: a path, which wins where something lies there, or NAMESPACE/NAME of a model on the hub.
        revision: branch, tag or commit of the hub id; its main branch by default.

    Returns:
        The path itself, or the folder of the downloaded model. A path where nothing lies comes back as it is, unless
        it could be a hub id.

    Raises:
        CheckpointError: the hub cannot be reached and nothing is cached, has no such model, or does not give it.
    """
    path = Path(source).expanduser()
    is_id = isinstance(source, str) and _ID.fullmatch(source) is not None and not is_weights_name(path)
    if path.exists() or not is_id:
        if revision is not None:
            raise CheckpointError(f"{source}: is a path, so there is no revision {revision} of it; name a hub id")
        return path
    folder = _snapshot(str(source), revision)
    if not any((folder / name).is_file() for name in ("manifest.json", AUTHORS_FILE)):
        raise CheckpointError(f"{source}: holds no manifest.json; name a model that simcrop exported")
    return folder


def _snapshot(name: str, revision: str | None) -> Path:
    """The folder of a model in the cache, brought up to date where the hub answers."""
    import huggingface_hub as hub
    from huggingface_hub import errors

    kept: dict[str, Any] = {"allow_patterns": _FILES, "revision": revision}
    if revision is not None and _COMMIT.fullmatch(revision):
        # A commit never changes, so what the cache has of it need not be asked for.
        try:
            return Path(hub.snapshot_download(name, local_files_only=True, **kept))
        except OSError:
            pass
    try:
        hub.HfApi().model_info(name, revision=revision, timeout=SECONDS)
    except errors.GatedRepoError as error:
        raise CheckpointError(f"{name}: is gated; ask for access on its page, then run `hf auth login`") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise CheckpointError(
            f"{name}: no such file or folder here, and no such model on the hub, unless it is private; correct the "
            f"path or id, or run `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name}: has no revision {revision}; name one of its branches, tags or commits"
        ) from error
    except Exception as error:  # the HTTP library behind the hub's has changed before, and its errors with it
        return _cached(name, kept, error)
    try:
        return Path(hub.snapshot_download(name, **kept))
    except Exception as error:
        raise CheckpointError(f"{name}: cannot be downloaded ({one_line(error)}); try again") from error


def _cached(name: str, kept: dict[str, Any], reason: Exception) -> Path:
    """Files that an earlier download left, where the hub does not answer."""
    import huggingface_hub as hub

    try:
        folder = Path(hub.snapshot_download(name, local_files_only=True, **kept))
    except OSError as error:
        raise CheckpointError(
            f"{name}: no such file or folder here, and the hub cannot be reached ({one_line(reason)}) for a model of "
            f"that id; correct the path, or go online"
        ) from error
    _log.warning("%s: the hub cannot be reached (%s); taken from its cache, %s", name, one_line(reason), folder)
    return folder


def publish(folder: Path, name: str, *, private: bool) -> str:
    """Upload a folder to the hub, where the model is made if it is not there yet.

    Args:
        folder: of an export; its README.md is the card that the hub shows.
        name: NAMESPACE/NAME.
        private: whether a new model is seen by its namespace alone.

    Returns:
        The address of the commit.

    Raises:
        CheckpointError: the hub refuses, or cannot be reached.
    """
    import huggingface_hub as hub

    try:
        hub.HfApi().create_repo(name, private=private or None, exist_ok=True)
        return str(hub.HfApi().upload_folder(repo_id=name, folder_path=folder, commit_message="Export from simcrop"))
    except Exception as error:  # as above: whatever the HTTP library raises
        raise CheckpointError(
            f"--push-to-hub {name}: not uploaded ({one_line(error)}); log in with `hf auth login`, go online, or "
            f"upload {folder} yourself"
        ) from error
