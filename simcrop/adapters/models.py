"""Models from configurations and checkpoints."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from simcrop.adapters.checkpoint_folder import Checkpoint
from simcrop.adapters.config import RunConfig
from simcrop.adapters.encoder_weights import start_from
from simcrop.adapters.hf_text import load_text_encoder
from simcrop.adapters.hf_tokenizer import HFTokenizer
from simcrop.adapters.provenance import weights_sha256
from simcrop.adapters.settings import config_from_yaml
from simcrop.core.errors import CheckpointError
from simcrop.core.model import SimCroP
from simcrop.core.ops import Ops
from simcrop.core.randomness import derive_seed


def make_model(
    config: RunConfig, ops: Ops, *, reports: Callable[[], Iterable[str]] | None = None, tokenizer: Path | None = None
) -> tuple[SimCroP, HFTokenizer]:
    """An untrained model, the same for the same configuration and reports, and its tokenizer.

    Args:
        config: sizes, objectives, seed, and the weights to start from.
        ops: implementation of the accelerated operations.
        reports: texts to learn a vocabulary from, where the text encoder is made from scratch.
        tokenizer: folder of a tokenizer learned before; wins over `reports`.

    Raises:
        ConfigError: the text encoder or `model.init` cannot be loaded.
    """
    torch.manual_seed(derive_seed("weights", config.seed))
    words, text_encoder = load_text_encoder(config.text_encoder, reports=reports, folder=tokenizer)
    model = SimCroP(
        config.model,
        config.objectives,
        config.text_encoder,
        text_encoder=text_encoder,
        vocab_size=words.vocab_size,
        ops=ops,
    )
    if config.model.init != "scratch":
        start_from(model.encoder, Path(config.model.init).expanduser())
    return model, words


def provided_elsewhere(config: RunConfig) -> tuple[str, ...]:
    """Prefixes of weights that checkpoints leave out: those of a frozen text encoder that was loaded."""
    text = config.text_encoder
    return ("text_encoder.",) if text.is_frozen and text.source != "scratch" else ()


def provided_weights(model: SimCroP, config: RunConfig) -> dict[str, str | None] | None:
    """What a checkpoint records of weights that it leaves out: where they are from, and their hash."""
    if model.text_encoder is None or not provided_elsewhere(config):
        return None
    text = config.text_encoder
    return {"source": text.source, "revision": text.revision, "sha256": weights_sha256(model.text_encoder)}


def load_weights(model: SimCroP, config: RunConfig, checkpoint: Checkpoint) -> None:
    """Put a checkpoint's weights into the model that its configuration describes.

    Raises:
        CheckpointError: damaged weights, or a frozen text encoder that is not the one trained with.
    """
    expected, found = checkpoint.manifest.get("text_encoder"), provided_weights(model, config)
    if expected is not None and found is not None and found["sha256"] != expected["sha256"]:
        raise CheckpointError(
            f"text_encoder.source: {found['source']} has weights of sha256 {found['sha256']}, and {checkpoint.folder} "
            f"was trained with {expected['sha256']} (revision {expected['revision']}); provide those"
        )
    report = model.load_state_dict(checkpoint.weights(), strict=False)
    missing = [name for name in report.missing_keys if not name.startswith(provided_elsewhere(config))]
    if missing or report.unexpected_keys:
        name = [*missing, *report.unexpected_keys][0]
        raise CheckpointError(f"{checkpoint.folder}: {name} does not belong to the model in its config.json")


def config_of(checkpoint: Checkpoint) -> RunConfig:
    """The configuration that a checkpoint was trained with."""
    return config_from_yaml(json.dumps(checkpoint.config()), str(checkpoint.folder / "config.json"))
