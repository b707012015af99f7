"""Models of a configuration: the same weights for the same one, and weights that are not its own."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.checkpoints import make_module, make_store
from support.full_disk import files_of_at_most
from support.tiny import MODEL, OBJECTIVES
from torch import Tensor

from simcrop.adapters.checkpoints.folder import open_checkpoint
from simcrop.adapters.checkpoints.models import (
    load_weights,
    make_model,
    provided_elsewhere,
    provided_weights,
    tokenizer_files,
)
from simcrop.adapters.config.run import RunConfig
from simcrop.core.errors import CheckpointError
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import TextEncoderRecipe
from simcrop.core.reference import REFERENCE

SMALL = TextEncoderRecipe(hidden_size=8, depth=1, num_heads=2, vocab_size=128, max_tokens=16)
CONFIG = RunConfig(model=MODEL, objectives=OBJECTIVES, text_encoder=SMALL)


def made(config: RunConfig = CONFIG) -> SimCroP:
    model, tokenizer = make_model(config, REFERENCE, reports=lambda: ["The heart is normal.", "The trachea is open."])
    assert model.tokenizer is tokenizer
    return model


def checkpoint(weights: dict[str, Tensor], **manifest: Any) -> Any:
    return SimpleNamespace(path="step_3", manifest=manifest, weights=lambda: weights)


def test_weights_depend_on_the_configuration_and_its_seed_alone() -> None:
    first = made().state_dict()
    torch.rand(7)
    again, other = made().state_dict(), made(replace(CONFIG, seed=1)).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["encoder.blocks.0.attn.qkv.weight"], other["encoder.blocks.0.attn.qkv.weight"])


def test_weights_come_back_and_those_of_another_model_are_named() -> None:
    trained = {name: value + 1 for name, value in made().state_dict().items()}
    model = made()
    load_weights(model, CONFIG, checkpoint(trained))
    assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())
    name = next(iter(trained))
    for wrong in ({**trained, "extra.weight": torch.zeros(1)}, {key: trained[key] for key in trained if key != name}):
        stranger = "extra.weight" if "extra.weight" in wrong else name
        with pytest.raises(CheckpointError, match=f"^step_3: {stranger} does not belong to the model in its config"):
            load_weights(made(), CONFIG, checkpoint(wrong))


def test_the_files_of_the_tokenizer_stay_those_that_a_run_began_with(tmp_path: Path) -> None:
    model, tokenizer = make_model(CONFIG, REFERENCE, reports=lambda: ["The heart is normal."])
    files = tokenizer_files(model, CONFIG, tokenizer, None)
    assert {"text_encoder.json", "tokenizer.json", "tokenizer_config.json"} <= files.keys()
    for step in (1, 2, 3):  # each run continues the one before
        make_store(tmp_path, tokenizer=files).save(step, make_module(), {})
        start = open_checkpoint(tmp_path / f"step_{step:08d}")
        model, tokenizer = make_model(CONFIG, REFERENCE, tokenizer_dir=start.tokenizer_folder())
        assert tokenizer_files(model, CONFIG, tokenizer, start) == files


def test_a_full_folder_for_temporary_files_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = make_model(CONFIG, REFERENCE, reports=lambda: ["The heart is normal."])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with files_of_at_most(100), pytest.raises(CheckpointError) as refused:
        tokenizer_files(model, CONFIG, tokenizer, None)
    assert str(refused.value).startswith(f"{tmp_path}: cannot be written (")
    assert str(refused.value).endswith("; free some space there, or set TMPDIR to another folder")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "frozen", "prefixes"),
    [("scratch", True, ()), ("a/model", True, ("text_encoder.",)), ("a/model", False, ())],
)
def test_a_frozen_encoder_that_was_loaded_is_left_out(source: str, frozen: bool, prefixes: tuple[str, ...]) -> None:
    config = replace(CONFIG, text_encoder=replace(SMALL, source=source, frozen=frozen, revision="v1"))
    assert provided_elsewhere(config) == prefixes
    found = provided_weights(made(), config)
    assert (found is None) == (not prefixes)
    if found is not None:
        assert (found["source"], found["revision"], len(found["sha256"] or "")) == ("a/model", "v1", 64)


def test_another_frozen_encoder_than_the_one_trained_with_is_refused() -> None:
    config = replace(CONFIG, text_encoder=replace(SMALL, source="a/model", frozen=True))
    about = {"source": "a/model", "revision": "v0", "sha256": "0" * 64}
    with pytest.raises(CheckpointError, match=rf"a/model has weights of sha256 .* with {'0' * 64} \(revision v0\)"):
        load_weights(made(), config, checkpoint({}, text_encoder=about))
