"""Checkpoints as folders that appear whole or not at all; safetensors and JSON only.

    checkpoints/
    ├── step_00000300/   config.json  tokenizer/  model.safetensors  training_state/  manifest.json
    ├── latest           name of the newest step folder
    └── best             name of the one with the lowest held-out loss, never pruned

A folder is written beside under a name that starts with a dot, forced to disk, then renamed. The manifest holds the
sha256 of every other file; whoever reads a file compares first.
"""

import json
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from simcrop.adapters.checkpoints.folder import (
    STATE,
    STATE_TENSORS,
    WEIGHTS,
    open_checkpoint,
    split_tensors,
    step_folders,
    step_of,
)
from simcrop.adapters.system.files import replace_text, sha256_of, sync
from simcrop.core.errors import CheckpointError
from simcrop.core.ports import State

_log = logging.getLogger("simcrop")


class FolderCheckpoints:
    """The port CheckpointStore over a folder.

    Args:
        folder: the run's `checkpoints`.
        keep: newest step folders kept, besides the best.
        config: goes into every `config.json`.
        save_tokenizer: writes the tokenizer's files into the (existing, empty) folder that it is given.
        provenance: goes into every manifest beside `step`, `files` (name -> sha256) and `metrics`.
        omit: prefixes of weights that are not stored (a frozen encoder that others provide).
        start_step: of the checkpoint that this run continues; 0 for a fresh run.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int,
        config: Mapping[str, Any],
        save_tokenizer: Callable[[Path], None],
        provenance: Mapping[str, Any],
        omit: tuple[str, ...] = (),
        start_step: int = 0,
    ) -> None:
        self._folder = folder
        self._keep = keep
        self._config = config
        self._save_tokenizer = save_tokenizer
        self._provenance = provenance
        self._omit = omit
        self._start_step = start_step
        self._written: set[str] = set()

    def save(self, step: int, model: nn.Module, state: State, *, metrics: Mapping[str, float] | None = None) -> None:
        """Write one checkpoint; whatever interrupts it, the previous one stays loadable.

        Raises:
            CheckpointError: the disk refuses.
        """
        final = self._folder / f"step_{step:08d}"
        draft = self._folder / f".writing_{final.name}"
        weights = {k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith(self._omit)}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._clean()
            self._write(draft, step, weights, state, dict(metrics or {}))
            if final.exists():  # left over, damaged, from before a resume
                final.rename(self._folder / f".replaced_{final.name}")
            draft.rename(final)
            sync(self._folder)
            replace_text(self._folder / "latest", final.name + "\n")
            self._mark_best(final.name, dict(metrics or {}))
            self._written.add(final.name)
            self._prune(step)
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{final}: cannot be written ({error}); free some space, then resume") from error

    def _write(
        self, draft: Path, step: int, weights: dict[str, Tensor], state: State, metrics: dict[str, float]
    ) -> None:
        for folder in ("tokenizer", "training_state"):
            (draft / folder).mkdir(parents=True)
        tree, tensors = split_tensors(state)
        save_file(weights, draft / WEIGHTS)
        save_file(tensors, draft / STATE_TENSORS)
        (draft / STATE).write_text(json.dumps(tree, indent=1), encoding="utf-8")
        (draft / "config.json").write_text(json.dumps(self._config, indent=1), encoding="utf-8")
        self._save_tokenizer(draft / "tokenizer")
        files = {
            str(path.relative_to(draft).as_posix()): sha256_of(path)
            for path in sorted(draft.rglob("*"))
            if path.is_file()
        }
        manifest = {"step": step, "files": files, "metrics": metrics, **self._provenance}
        (draft / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for path in [*draft.rglob("*"), draft]:
            sync(path)

    def _best(self) -> str | None:
        path = self._folder / "best"
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None

    def _mark_best(self, name: str, metrics: Mapping[str, float]) -> None:
        loss = metrics.get("validation_loss", math.nan)
        if not math.isfinite(loss):
            return
        best, best_loss = self._best(), math.inf
        if best is not None:
            try:
                best_loss = open_checkpoint(self._folder / best).manifest["metrics"]["validation_loss"]
            except (CheckpointError, KeyError) as error:
                _log.warning("%s: no longer the best (%s)", self._folder / best, error)
        if loss < best_loss or best == name:
            replace_text(self._folder / "best", name + "\n")

    def _prune(self, step: int) -> None:
        old = [name for name in step_folders(self._folder) if step_of(name) <= step]
        # Whoever resumed took the newest whole folder, so one after it that was not written anew is damaged.
        whole = [name for name in old if step_of(name) <= self._start_step or name in self._written]
        for name in set(old) - set(whole[-self._keep :]) - {self._best()}:
            doomed = self._folder / f".pruned_{name}"
            (self._folder / name).rename(doomed)  # a half deleted folder must not look like a checkpoint
            shutil.rmtree(doomed)

    def _clean(self) -> None:
        for path in self._folder.glob(".*_step_*"):
            shutil.rmtree(path)
