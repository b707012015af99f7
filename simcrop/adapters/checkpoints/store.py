"""Checkpoints as folders that appear whole or not at all; safetensors and JSON only.

    checkpoints/
    ├── step_00000300/   config.json  tokenizer/  model.safetensors  training_state/  manifest.json
    ├── latest           name of the newest step folder
    └── best             name of the one with the lowest held-out loss, never pruned

The manifest holds the sha256 of every other file; whoever reads a file compares first.
"""

import json
import logging
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

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
from simcrop.adapters.checkpoints.migrations import VERSION
from simcrop.adapters.system.files import (
    remove_drafts,
    remove_folder,
    replace_text,
    sha256_of,
    whole_folder,
    writing,
)
from simcrop.adapters.system.forcing import force
from simcrop.core.errors import CheckpointError
from simcrop.core.ports import State

_log = logging.getLogger("simcrop")


def write_manifest(folder: Path, about: Mapping[str, Any]) -> None:
    """Write manifest.json into a folder that is complete but for it: `about`, the version, and every file's sha256."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = {path.relative_to(folder).as_posix(): sha256_of(path) for path in paths}
    manifest = {**about, "version": VERSION, "files": files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Content:
    """What a checkpoint holds of a training.

    Attributes:
        step: updates behind it.
        weights: by name.
        state: the state with a name in place of each tensor.
        tensors: of the state, by name.
        metrics: of the step; with `validation_loss` it is a candidate for the best.
    """

    step: int
    weights: Mapping[str, Tensor]
    state: State
    tensors: Mapping[str, Tensor]
    metrics: Mapping[str, float]


@dataclass(eq=False)
class FolderCheckpoints:
    """Checkpoints of a run, or of the training of an evaluation, in a folder.

    Attributes:
        folder: the run's `checkpoints`.
        keep: newest step folders kept, besides the best.
        config: goes into every `config.json`.
        tokenizer: the tokenizer's files, name -> content.
        provenance: goes into every manifest beside `version`, `step`, `files` (name -> sha256) and `metrics`.
        omit: prefixes of weights that are not stored (a frozen encoder that others provide).
        start_step: of the checkpoint that this run continues; 0 for a fresh run.
        rows: file with a row for each step, which is forced to disk before a checkpoint appears; None where there is
            none.
        in_use: names of step folders that somebody reads, and that are not pruned until he is done.
    """

    folder: Path
    _: KW_ONLY
    keep: int
    config: Mapping[str, Any]
    tokenizer: Mapping[str, bytes]
    provenance: Mapping[str, Any]
    omit: tuple[str, ...] = ()
    start_step: int = 0
    rows: Path | None = None
    in_use: Callable[[], Collection[str]] = frozenset
    _written: set[str] = field(default_factory=set[str], init=False)

    def save(self, step: int, model: nn.Module, state: State, *, metrics: Mapping[str, float] | None = None) -> Path:
        """Write one checkpoint of a model and its state, as `write` does."""
        return self.write(self.content(step, model, state, metrics or {}))

    def content(self, step: int, model: nn.Module, state: State, metrics: Mapping[str, float]) -> Content:
        """What a checkpoint of a model and its state holds; tensors are those that training changes, not copies."""
        weights = {k: v.contiguous() for k, v in model.state_dict().items() if not k.startswith(self.omit)}
        return Content(step, weights, *split_tensors(state), metrics=dict(metrics))

    def write(self, content: Content) -> Path:
        """Write one checkpoint; whatever interrupts it, the previous one stays loadable.

        Returns:
            Its folder.

        Raises:
            CheckpointError: the disk refuses, or the run folder is no longer there.
        """
        step = content.step
        final = self.folder / f"step_{step:08d}"
        with writing(final, CheckpointError, "free some space, then resume"):
            self._begin()
            remove_drafts(self.folder)
            with whole_folder(final) as draft:  # a damaged one may be left over from before a resume
                self._fill(draft, content)
            replace_text(self.folder / "latest", final.name + "\n")
            self._mark_best(final.name, content.metrics)
            self._written.add(final.name)
            self._prune(step)
        return final

    def _begin(self) -> None:
        """Force the rows to disk, and make the folder; where the run's is gone, nobody wants a new one."""
        if self.rows is None:
            return
        try:
            if not self.folder.is_dir():
                self.folder.mkdir()
                force(self.folder.parent)
            force(self.rows)
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{error.filename}: was removed or moved while it was in use; put it back, or resume where it is now"
            ) from error

    def _fill(self, draft: Path, content: Content) -> None:
        for folder in ("tokenizer", "training_state"):
            (draft / folder).mkdir()
        save_file(dict(content.weights), draft / WEIGHTS)
        save_file(dict(content.tensors), draft / STATE_TENSORS)
        (draft / STATE).write_text(json.dumps(content.state, indent=1), encoding="utf-8")
        (draft / "config.json").write_text(json.dumps(self.config, indent=1), encoding="utf-8")
        for name, file in self.tokenizer.items():
            (draft / "tokenizer" / name).write_bytes(file)
        write_manifest(draft, {"step": content.step, "metrics": content.metrics, **self.provenance})

    def _best(self) -> str | None:
        path = self.folder / "best"
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else None

    def _mark_best(self, name: str, metrics: Mapping[str, float]) -> None:
        loss = metrics.get("validation_loss", math.nan)
        if not math.isfinite(loss):
            return
        best, best_loss = self._best(), math.inf
        if best is not None:
            try:
                best_loss = open_checkpoint(self.folder / best).manifest["metrics"]["validation_loss"]
            except (CheckpointError, KeyError) as error:
                _log.warning("%s: no longer the best (%s)", self.folder / best, error)
        if loss < best_loss or best == name:
            replace_text(self.folder / "best", name + "\n")

    def _prune(self, step: int) -> None:
        old = [name for name in step_folders(self.folder) if step_of(name) <= step]
        # Whoever resumed took the newest whole folder, so one after it that was not written anew is damaged.
        whole = [name for name in old if step_of(name) <= self.start_step or name in self._written]
        for name in set(old) - set(whole[-self.keep :]) - {self._best()} - set(self.in_use()):
            remove_folder(self.folder / name)
