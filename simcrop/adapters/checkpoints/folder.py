"""Read one checkpoint folder: every file's hash is compared before its content is believed."""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from simcrop.adapters.checkpoints.migrations import NewerVersionError, migrated, migrated_settings, version_of
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import config_from_tree
from simcrop.adapters.system.files import sha256_of
from simcrop.core.errors import CheckpointError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.ops import Ops
from simcrop.core.ports import State

_log = logging.getLogger("simcrop")
_STEP_FOLDER = re.compile(r"step_(\d{8,})")
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
        """Hash of the weights, as the manifest has it."""
        return self.manifest["files"][WEIGHTS]

    @property
    def settings(self) -> dict[str, Any]:
        """Of the fit behind a fine-tuned classifier, by keys with dots; empty for a run's."""
        return migrated_settings(self.manifest.get("settings", {}), self.version)

    def file(self, name: str) -> Path:
        """The file of that name inside the folder, its hash compared.

        Raises:
            CheckpointError: not listed, absent or changed since it was written.
        """
        path = self.path / name
        expected = self.manifest["files"].get(name)
        if expected is None:
            raise CheckpointError(f"{path}: not listed in manifest.json; take another checkpoint")
        try:
            found = sha256_of(path)
        except OSError as error:
            raise CheckpointError(f"{path}: cannot be read ({error.strerror}); take another checkpoint") from error
        if found != expected:
            raise CheckpointError(f"{path}: damaged (its sha256 is not the manifest's); take another checkpoint")
        return path

    def config(self) -> dict[str, Any]:
        """Content of `config.json`, as this version would have written it."""
        return migrated(json.loads(self.file("config.json").read_text(encoding="utf-8")), self.version)

    def run_config(self) -> RunConfig:
        """The configuration that it was trained with."""
        return config_from_tree(self.config(), str(self.path / "config.json"))

    def weights(self) -> dict[str, Tensor]:
        """The model's tensors on the CPU."""
        return load_file(self.file(WEIGHTS))

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
        encoder = kind(self.run_config().model, ops)
        encoder.load_state_dict(self.contents()[0])
        return encoder

    def whole(self, name: str | Path, remedy: str) -> "Checkpoint":
        """Itself. Raises CheckpointError where it holds a fine-tuned classifier: an encoder and a head alone."""
        if "classifier" in self.manifest:
            raise CheckpointError(f"{name}: holds a fine-tuned classifier, no text side; {remedy}")
        return self

    def tokenizer_folder(self) -> Path:
        """The folder of the tokenizer, every file in it verified."""
        for name in self.manifest["files"]:
            if name.startswith("tokenizer/"):
                self.file(name)
        return self.path / "tokenizer"

    def training_state(self) -> State:
        """The tree that was saved beside the weights."""
        tree = json.loads(self.file(STATE).read_text(encoding="utf-8"))
        return join_tensors(tree, load_file(self.file(STATE_TENSORS)))


def encoder_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vision encoder's part of a whole model's weights, in timm's names."""
    return {name.removeprefix(ENCODER): value for name, value in weights.items() if name.startswith(ENCODER)}


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read a step folder's manifest.

    Raises:
        CheckpointError: no such folder, or its manifest is absent, damaged, another step's or of a later version; or it
            is an export for other programs.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        step, files = manifest["step"], manifest["files"]
        valid = isinstance(step, int) and isinstance(files, dict) and isinstance(manifest.get("version", 1), int)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); is this a checkpoint folder?") from error
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: damaged (not a manifest); take another checkpoint") from error
    if manifest.get("format", "simcrop") != "simcrop":
        raise CheckpointError(
            f"{folder}: is an export of the format {manifest['format']}, for other programs; load it as its README.md "
            f"says, or take the checkpoint that it was exported from"
        )
    match = _STEP_FOLDER.fullmatch(folder.name)
    if not valid or (match and int(match[1]) != step):
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
        name = latest.read_text(encoding="utf-8", errors="replace").strip()
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
