"""Small whole checkpoints, and changes of their files that no writer of ours makes."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from simcrop.adapters.checkpoints.models import make_model, tokenizer_files
from simcrop.adapters.checkpoints.store import FolderCheckpoints
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_tree
from simcrop.adapters.system.files import sha256_of
from simcrop.core.recipe import (
    AlignmentRecipe,
    LateInteractionRecipe,
    ObjectivesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
    TextEncoderRecipe,
)
from simcrop.core.reference import REFERENCE
from support.tiny import LOCAL

CONFIG = RunConfig(
    model=LOCAL,
    objectives=ObjectivesRecipe(
        ReconstructionRecipe(weight=0.0),
        ReportRecipe(weight=0.0),
        AlignmentRecipe(weight=0.0, top_k=2),
        LateInteractionRecipe(pooling="best", top_k=2),
    ),
    text_encoder=TextEncoderRecipe(hidden_size=8, depth=1, num_heads=2, vocab_size=128, max_tokens=16),
)
"""A model of a few thousand weights that can compare sentences with patches."""
DEEP = "@ as many levels as no reader has @"
"""Stands for 200,000 lists inside each other."""
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 7, 1 << 31, 10_000_000, 1 << 62, 10**400, 0.5, -0.5, 1e-300, 1e300),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "a",
        "lines\nlines",
        "\0",
        "\ud800",
        "../../a",
        "/dev/zero",
        "9" * 5000,
    ),
    *([], {}, [[]], [1, 2, 3], [100_000] * 3, [1e-9] * 3, {"a": 1}, DEEP, "half", "sincos_hw", "prototypes"),
)


def write_checkpoint(folder: Path) -> Path:
    """Write a run's folder with one checkpoint; returns that."""
    model, tokenizer = make_model(CONFIG, REFERENCE, reports=lambda: ["The heart is normal.", "A nodule is seen."])
    files = tokenizer_files(model, CONFIG, tokenizer, None)
    store = FolderCheckpoints(folder, keep=2, config=as_tree(CONFIG), tokenizer=files, provenance={})
    state = {"best_step": 3, "best": {"a": 1.0}, "num_worse": 0, "weights": {}, "optimizer": {}}
    store.save(3, model, state, metrics={"validation_loss": 1.0})
    return folder / "step_00000003"


def hash_anew(folder: Path) -> None:
    """Let a manifest have the hashes of the files as they are now, as whoever changes them would."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["files"] = {name: sha256_of(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps(manifest), encoding="utf-8")


def as_text(tree: Any) -> str:
    """JSON, with 200,000 levels where that is said."""
    return json.dumps(tree).replace(json.dumps(DEEP), "[" * 200_000)


@st.composite
def changed_trees(draw: st.DrawFn, tree: Any) -> str:
    """JSON of a tree in which some values are others, absent, or inside another one."""
    changed = json.loads(json.dumps(tree))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(changed))
        if not places:
            break
        where, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["replace", "replace", "drop", "nest", "add"]))
        if how == "drop":
            del where[key]
        elif how == "nest":
            where[key] = draw(st.sampled_from([[where[key]], {"a": where[key]}]))
        elif how == "add" and isinstance(where, dict):
            where[draw(st.sampled_from(["x", "", "model", "version", "auto_map", "dtype", "../a"]))] = deepcopy(
                where[key]
            )
        else:
            where[key] = deepcopy(draw(st.sampled_from(VALUES)))
    return as_text(changed)


@st.composite
def changed_bytes(draw: st.DrawFn, data: bytes, *, first: int | None = None) -> bytes:
    """Bytes of which some are others, missing or repeated; `first`: among so many at the beginning."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, min(len(changed), first or len(changed)) - 1)))
        how = draw(st.sampled_from(["flip", "set", "cut", "insert", "repeat"]))
        if how == "cut" and draw(st.booleans()):
            del changed[place:]
        elif how == "insert":
            changed[place:place] = draw(st.binary(max_size=8))
        elif how == "repeat":
            changed[place:place] = changed[place : place + 40]
        elif changed:
            changed[place] = (
                draw(st.integers(0, 255)) if how == "set" else changed[place] ^ 1 << draw(st.integers(0, 7))
            )
    return bytes(changed)


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    below: list[tuple[Any, Any]] = []
    if isinstance(tree, dict | list):
        below = list(tree.items() if isinstance(tree, dict) else enumerate(tree))
    for key, value in below:
        yield tree, key
        yield from _places(value)
