"""Continue what was stopped or killed: a run, or the training of an evaluation, by the same settings alone.

OUT/training/step_00000150/     of an evaluation; removed when its training is over
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import reduce
from pathlib import Path
from typing import Any

from simcrop.adapters.checkpoints.folder import Checkpoint, find_checkpoint, newest_whole
from simcrop.adapters.checkpoints.migrations import added_since
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree, config_from_tree, merge
from simcrop.core.errors import CheckpointError
from simcrop.core.recipe import PAPER
from simcrop.core.recipe.section import Section

_FIXED = ("seed", "data", "model", "objectives", "text_encoder")
"""What decides which model is trained on what; the rest (steps, rate, device) may change between two parts of a run."""
_FREE = ("data.num_workers", "data.prepared", "data.prepared_shared", "data.storage", "text_encoder.keep_findings")
_OF_A_MACHINE = ("name", "data.num_workers", "train.device", "train.threads", "train.trackers")
_MAYBE_PATHS = ("model.init", "text_encoder.source")
_FREE_NAMES = ("data.options", "objectives.organ_shares.classes")
"""Keys that hold a mapping of any names: one more of them, or one less, is a change of the value."""


def starting_point(out: Path, resume: str, config: Mapping[str, Any]) -> Checkpoint | None:
    """The checkpoint that a run continues from, or None for a fresh run.

    Args:
        out: the run folder.
        resume: "auto": the newest whole checkpoint of `out`, if any; "never": `out` must hold no run; else the path of
            a checkpoint, which starts a new run in `out`, or is the newest of `out` itself.
        config: the configuration as nested dicts.

    Raises:
        CheckpointError: damaged or absent checkpoint, a fine-tuned classifier, a run where none should be, or a changed
            key, named.
    """
    newest = newest_whole(out / "checkpoints")
    if resume == "auto":
        start = newest
    elif resume == "never":
        if newest is not None:
            raise CheckpointError(
                f"{out}: holds a run at step {newest.step}, and --resume never was asked for; "
                f"choose another --out, or --resume auto to continue it"
            )
        start = None
    else:
        start = find_checkpoint(Path(resume))
        if newest is not None and not newest.path.samefile(start.path):
            raise CheckpointError(
                f"{out}: holds a run at step {newest.step}; to branch off from {start.path} choose another --out"
            )
    if start is not None:
        start.whole(start.path, "choose another --out, and start from its encoder with model.init")
        check_unchanged(start, config)
    return start


def check_unchanged(checkpoint: Checkpoint, config: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming the first key of model, data or objectives that a checkpoint was made without."""
    before = {
        key: value for key, value in leaves(checkpoint.config()) if key.split(".")[0] in _FIXED and key not in _FREE
    }
    # A key that the checkpoint does not have is no change: it came later.
    now = {key: value for key, value in leaves(config) if key in before}
    check_same(checkpoint.path, before, now | _younger(checkpoint, now))


def as_begun(config: RunConfig, checkpoint: Checkpoint) -> RunConfig:
    """The configuration with what was done before there were keys that are left at their default."""
    tree = as_tree(config)
    for path, value in _younger(checkpoint, dict(leaves(tree))).items():
        *sections, key = path.split(".")
        tree = merge(tree, reduce(lambda below, name: {name: below}, reversed(sections), {key: value}))
    return config_from_tree(tree, str(checkpoint.path))


def _younger(checkpoint: Checkpoint, now: Mapping[str, Any]) -> dict[str, Any]:
    """Keys that came after the checkpoint and are as a recipe has them -> what was done until then."""
    recipes = [dict(leaves(as_tree(RunConfig()))), dict(leaves(PAPER))]
    return {
        key: then
        for key, then in added_since(checkpoint.version).items()
        if key in now and any(now[key] == recipe[key] for recipe in recipes if key in recipe)
    }


def check_data(checkpoint: Checkpoint, fingerprint: str) -> None:
    """Raise CheckpointError where the studies are not those that a checkpoint was trained on."""
    if checkpoint.manifest.get("data_fingerprint") != fingerprint:
        raise CheckpointError(
            f"data: the studies, their reports or their split differ from those behind {checkpoint.path}; "
            f"put them back, or train anew with another --out"
        )


def is_finished(out: Path, start: Checkpoint, steps: int) -> bool:
    """Whether nothing is left to do in `out`: all steps are made, there, and the summary is written."""
    is_here = start.path.resolve().is_relative_to(out.resolve())
    return is_here and start.step >= steps and (out / "summary.json").is_file()


def check_same(where: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise CheckpointError naming the first key whose value differs from that behind what `where` holds.

    A key of the configuration that `before` lacks did not exist yet; what was done then is its default, or told by
    `migrations.CAME_WITH`.

    Args:
        where: a file or folder that was made with `before`.
        before: key with dots -> value, from JSON.
        now: the same as it is asked for.
    """
    defaults = {**dict(leaves(as_tree(RunConfig()))), **added_since(0)}
    for key in [*now, *(key for key in before if key not in now)]:
        then = before.get(key, defaults.get(key))
        if then != json.loads(json.dumps(now.get(key))):
            raise CheckpointError(
                f"{key}: {now.get(key)} differs from {then} in {where}; set it back, or train anew with another --out"
            )


def deciding(config: RunConfig) -> dict[str, Any]:
    """What all ranks of a run must have in common: key with dots -> value, but for paths and what a machine decides."""
    left_out = {*_OF_A_MACHINE, *_paths(config)}
    found = {key: value for key, value in leaves(as_tree(config)) if key not in left_out}
    return found | {key: Path(found[key]).name for key in _MAYBE_PATHS}


def _paths(section: Section, prefix: str = "") -> Iterator[str]:
    for each in fields(section):  # pyright: ignore[reportArgumentType]
        value = getattr(section, each.name)
        if isinstance(value, Section):
            yield from _paths(value, f"{prefix}{each.name}.")
        elif isinstance(value, Path):
            yield f"{prefix}{each.name}"


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a configuration's tree by its key with dots; a mapping whose names are free is one value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" not in _FREE_NAMES:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


_FOLDER = "training"


def unfinished_training(out: Path, settings: Mapping[str, Any]) -> Checkpoint | None:
    """The newest state of a training of the same settings, where it was stopped or killed.

    Args:
        out: folder of the evaluation.
        settings: all that decides what is learned, by key.

    Raises:
        CheckpointError: it is of other settings, or every state is damaged.
    """
    newest = newest_whole(out / _FOLDER)
    if newest is not None:
        check_same(newest.path, newest.settings, settings)
    return newest


def training_store(
    out: Path, settings: Mapping[str, Any], *, omit: tuple[str, ...], start_step: int, rows: Path | None = None
) -> FolderCheckpoints:
    """Store of the state of a training.

    Args:
        out: folder of the evaluation.
        settings: as for `unfinished_training`.
        omit: prefixes of weights that never change.
        start_step: of the state that the training goes on from.
        rows: file with a row for each step, where there is one.
    """
    return FolderCheckpoints(
        out / _FOLDER,
        keep=2,
        config={},
        tokenizer={},
        provenance={"settings": settings},
        omit=omit,
        start_step=start_step,
        rows=rows,
    )


def remove_training(out: Path) -> None:
    """Remove the state of a training that is over."""
    shutil.rmtree(out / _FOLDER, ignore_errors=True)
