"""Read one checkpoint folder: every file's hash is compared before its content is believed."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from simcrop.adapters.checkpoints.manifest import MANIFEST, read_manifest, verified_file
from simcrop.adapters.checkpoints.migrations import NewerVersionError, migrated, migrated_settings, version_of
from simcrop.adapters.checkpoints.tensor_files import REMEDY, StoredTensor, load_tensors, require_fit, stored_tensors
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import config_from_tree
from simcrop.adapters.system.outside_files import read_json, small_file
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.ops import Ops
from simcrop.core.ports import State

T = TypeVar("T")

_log = logging.getLogger("simcrop")
_STEP_FOLDER = re.compile(r"step_([0-9]{8,20})")
_MOST_LATEST = 1000
"""Bytes of the file that names the newest step folder."""
ENCODER = "encoder."
WEIGHTS = "model.safetensors"
STATE = "training_state/state.json"
STATE_TENSORS = "training_state/optimizer.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint folder whose manifest was read; files are verified when they are.

    Attributes:
        path: of the folder.
        step: updates behind it.
        manifest: see `FolderCheckpoints`.
        version: that it was written with.
    """

    path: Path
    step: int
    manifest: Mapping[str, Any]
    version: int

    @property
    def sha256(self) -> str:
        """Hash of the weights, as the manifest has it. Raises CheckpointError where it has none."""
        return self._listed(WEIGHTS)

    @property
    def settings(self) -> dict[str, Any]:
        """Of the fit behind a fine-tuned classifier, by keys with dots; empty for a run's."""
        return migrated_settings(self.manifest.get("settings", {}), self.version)

    def file(self, name: str) -> Path:
        """The file of that name inside the folder, its hash compared.

        Raises:
            CheckpointError: not listed, absent or changed since it was written.
        """
        return verified_file(self.path, name, self._listed(name))

    def _listed(self, name: str) -> str:
        sha256 = self.manifest["files"].get(name)
        if sha256 is None:
            raise CheckpointError(f"{self.path / name}: not listed in manifest.json; {REMEDY}")
        return sha256

    def config(self) -> dict[str, Any]:
        """Content of `config.json`, as this version would have written it.

        Raises:
            CheckpointError: damaged.
        """
        return migrated(self._json("config.json"), self.version)

    def run_config(self) -> RunConfig:
        """The configuration that it was trained with. Raises CheckpointError where it is damaged, or of no model."""
        try:
            return config_from_tree(self.config(), str(self.path / "config.json"))
        except ConfigError as error:
            raise CheckpointError(f"{error} ({REMEDY})") from error

    def stored(self) -> dict[str, StoredTensor]:
        """Names, shapes and types of the model's tensors, by the header of their file; its hash is not compared."""
        return stored_tensors(self.path / WEIGHTS)

    def weights(self) -> dict[str, Tensor]:
        """The model's tensors on the CPU. Raises CheckpointError where they are damaged."""
        return load_tensors(self.file(WEIGHTS))

    def _json(self, name: str) -> dict[str, Any]:
        path = self.file(name)
        try:
            content: Any = read_json(path)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path}: damaged ({error}); {REMEDY}") from error
        if not isinstance(content, dict):
            raise CheckpointError(f"{path}: damaged (it holds no object of JSON); {REMEDY}")
        return content

    @property
    def model(self) -> Mapping[str, Any]:
        """The `model` section of its configuration."""
        return self.config()["model"]

    def contents(self) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
        """The vision encoder's tensors in timm's names, and the names of all others."""
        weights = self.weights()
        return encoder_weights(weights), tuple(name for name in weights if not name.startswith(ENCODER))

    def encoder(
        self, ops: Ops, model: Mapping[str, Any] | None = None, *, kind: type[VisionEncoder] = VisionEncoder
    ) -> VisionEncoder:
        """The vision encoder, of that class; `model` must be empty."""
        if model:
            raise CheckpointError(f"{self.path}: says itself how its model is made; leave out `model`")
        recipe = self.run_config().model
        stored = {
            name.removeprefix(ENCODER): value for name, value in self.stored().items() if name.startswith(ENCODER)
        }
        with torch.device("meta"):
            require_fit(self.path / WEIGHTS, stored, kind(recipe, ops))
        encoder = kind(recipe, ops)
        encoder.load_state_dict(self.contents()[0])
        return encoder

    def whole(self, name: str | Path, remedy: str) -> "Checkpoint":
        """Itself. Raises CheckpointError where it holds a fine-tuned classifier: an encoder and a head alone."""
        if "classifier" in self.manifest:
            raise CheckpointError(f"{name}: holds a fine-tuned classifier, no text side; {remedy}")
        return self

    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer, every file in it verified.

        Raises:
            CheckpointError: one is damaged, or not listed in the manifest.
        """
        folder = self.path / "tokenizer"
        listed = [name for name in self.manifest["files"] if name.startswith("tokenizer/")]
        for name in listed:
            self.file(name)
        if folder.is_dir():
            for path in folder.iterdir():
                if not path.name.startswith(".") and f"tokenizer/{path.name}" not in listed:
                    raise CheckpointError(f"{path}: not listed in manifest.json; remove it, or {REMEDY}")
        return folder

    def training_state(self) -> State:
        """The tree that was saved beside the weights. Raises CheckpointError where it is damaged."""
        tree, tensors = self._json(STATE), load_tensors(self.file(STATE_TENSORS))
        try:
            state: dict[str, Any] = join_tensors(tree, tensors)
            _require_moments(state["optimizer"])
            return state
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path / STATE}: damaged (it is not the state of a training, or not of {STATE_TENSORS}); {REMEDY}"
            ) from error


def _require_moments(moments: Any) -> None:
    """Raise TypeError unless these are tensors by name, by the name of a weight."""
    for below in [moments, *moments.values()] if isinstance(moments, dict) else [None]:
        if not isinstance(below, dict):
            raise TypeError("no moments of an optimizer")
    if not all(isinstance(value, Tensor) for below in moments.values() for value in below.values()):
        raise TypeError("moments that are no tensors")


def encoder_weights(weights: Mapping[str, T]) -> dict[str, T]:
    """The vision encoder's part of a whole model's weights, or of what is known of them, in timm's names."""
    return {name.removeprefix(ENCODER): value for name, value in weights.items() if name.startswith(ENCODER)}


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a step folder's manifest.

    Raises:
        CheckpointError: no such folder, or its manifest is absent, damaged, another step's or of a later version; or it
            is an export for other programs.
    """
    path = folder / MANIFEST
    manifest = read_manifest(path)
    step: int = manifest["step"]
    form: str = manifest.get("format", "simcrop")
    if form != "simcrop":
        raise CheckpointError(
            f"{folder}: is an export of the format {ascii(form)[1:-1][:40]}, for other programs; load it as its "
            f"README.md says, or take the checkpoint that it was exported from"
        )
    match = _STEP_FOLDER.fullmatch(folder.name)
    if match and int(match[1]) != step:
        raise CheckpointError(f"{path}: damaged (step {step} in {folder.name}); take another checkpoint")
    return Checkpoint(folder, step, manifest, version_of(manifest, path))


def find_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint that a path means: a step folder, or the latest one of a run folder or its `checkpoints`.

    Raises:
        CheckpointError: there is none, or the file that names it is damaged.
    """
    for folder in (path, path / "checkpoints"):
        latest = folder / "latest"
        if latest.is_file():
            return open_checkpoint(folder / _name_in(latest))
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such folder; name a run folder or one of its checkpoints/step_*")
    return open_checkpoint(path)


def _name_in(latest: Path) -> str:
    try:
        name = small_file(latest, _MOST_LATEST).decode("utf-8", errors="replace").strip()
    except ValueError:
        name = ""
    except OSError as error:
        raise CheckpointError(f"{latest}: cannot be read ({error.strerror}); name a step folder beside it") from error
    if _STEP_FOLDER.fullmatch(name) is None:
        raise CheckpointError(f"{latest}: damaged (not the name of a step folder); name a step folder beside it")
    return name


def newest_whole(folder: Path) -> Checkpoint | None:
    """The newest step folder whose every file is as it was written, or None where there is no step folder.

    A damaged one is passed over with a warning.

    Args:
        folder: `checkpoints` of a run; need not exist.

    Raises:
        CheckpointError: there are step folders, and all are damaged, or one is of a later version.
    """
    problems: list[str] = []
    for name in reversed(step_folders(folder)):
        try:
            checkpoint = open_checkpoint(folder / name)
            for file in (WEIGHTS, STATE, STATE_TENSORS, "config.json"):
                checkpoint.file(file)
            checkpoint.tokenizer_folder()
        except NewerVersionError:
            raise
        except CheckpointError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            _log.warning("%s; continuing from %s", problem, name)
        return checkpoint
    if problems:
        raise CheckpointError(f"{problems[0]} (no whole one is left in {folder})")
    return None


def step_folders(folder: Path) -> list[str]:
    """Names of the step folders, oldest first."""
    if not folder.is_dir():
        return []
    names = [path.name for path in folder.iterdir() if _STEP_FOLDER.fullmatch(path.name) and path.is_dir()]
    return sorted(names, key=step_of)


def step_of(name: str) -> int:
    """The step in a step folder's name."""
    return int(name.removeprefix("step_"))


def split_tensors(state: State) -> tuple[State, dict[str, Tensor]]:
    """The tree with a name in place of each tensor, and the tensors by name."""
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            tensors[name] = value.detach().contiguous()
            return {"tensor": name}
        if isinstance(value, Mapping):
            return {key: walk(item, f"{name}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, f"{name}/{index}") for index, item in enumerate(value)]
        return value

    tree = {key: walk(value, key) for key, value in state.items()}
    return tree, tensors


def join_tensors(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `split_tensors` took apart."""
    if isinstance(tree, dict):
        if tree.keys() == {"tensor"}:
            return tensors[tree["tensor"]]
        return {key: join_tensors(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [join_tensors(value, tensors) for value in tree]
    return tree
