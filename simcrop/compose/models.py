"""Models, new and trained."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from simcrop.adapters.checkpoint_folder import find_checkpoint
from simcrop.adapters.config import RunConfig
from simcrop.adapters.distributed import choose_device
from simcrop.adapters.encoder_weights import encoder_weights, start_from
from simcrop.adapters.hf_tokenizer import HFTokenizer
from simcrop.adapters.models import config_of, load_weights, make_model
from simcrop.compose.backend import select_ops
from simcrop.core.encoder import VisionEncoder
from simcrop.core.model import SimCroP


def build_model(
    config: RunConfig, *, reports: Callable[[], Iterable[str]] | None = None, words: Path | None = None
) -> tuple[SimCroP, HFTokenizer]:
    """An untrained model with the operations that `train.ops` asks for, started from `model.init`, and its tokenizer.

    Args:
        config: of the run.
        reports: texts to learn a vocabulary from, where the text encoder is made from scratch.
        words: the tokenizer's folder in a checkpoint; wins over `reports`.

    Raises:
        ConfigError: the text encoder or `model.init` cannot be loaded.
        BackendError: see `select_ops`.
    """
    device = choose_device(config.train.device)
    model, tokenizer = make_model(config, select_ops(config.train.ops, device), reports=reports, words=words)
    if config.model.init != "scratch":
        start_from(model.encoder, Path(config.model.init).expanduser())
    return model, tokenizer


def load_model(path: str | Path, device: str | torch.device = "cpu") -> SimCroP:
    """A trained model, ready to use: in eval mode, with its tokenizer as `.tokenizer`.

    Args:
        path: a run folder (its latest checkpoint) or one of its `checkpoints/step_*`.
        device: where to put it; on a GPU it uses the Triton kernels, whatever it was trained with.

    Raises:
        CheckpointError: absent or damaged.
    """
    checkpoint = find_checkpoint(Path(path))
    config = config_of(checkpoint)
    model, _ = make_model(config, select_ops("auto", torch.device(device)), words=checkpoint.tokenizer_folder())
    load_weights(model, config, checkpoint)
    return model.to(device).eval()


def load_encoder(path: str | Path, device: str | torch.device = "cpu") -> VisionEncoder:
    """A trained vision encoder alone, in eval mode.

    Args:
        path, device: as for `load_model`.

    Returns:
        A module with `encode(volume, *, normalized=True)` -> [B, N+1, E], class token first, for volumes in HU, RAS,
        at its `.spacing_mm`; `.window` and `.volume_size` say what it was trained on.

    Raises:
        CheckpointError: absent or damaged.
    """
    checkpoint = find_checkpoint(Path(path))
    recipe = config_of(checkpoint).model
    encoder = VisionEncoder(recipe, select_ops("auto", torch.device(device)))
    encoder.load_state_dict(encoder_weights(checkpoint.weights()))
    return encoder.to(device).eval()
