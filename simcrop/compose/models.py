"""Models, new and trained."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from simcrop.adapters.checkpoints.encoder_file import open_weights
from simcrop.adapters.checkpoints.folder import Checkpoint
from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.checkpoints.models import load_weights, make_model, require_fitting
from simcrop.adapters.checkpoints.reference_scans import find_references
from simcrop.adapters.checkpoints.start import Start, start_from
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.system.ranks import choose_device
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.compose.ops import select_ops
from simcrop.compose.trained_encoder import TrainedEncoder
from simcrop.compose.view import View
from simcrop.core.errors import CheckpointError
from simcrop.core.evaluation.references import ReferenceScans
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.randomness import derive_seed


def untrained_encoder(config: RunConfig) -> VisionEncoder:
    """The encoder of the configuration's model, with the weights that a run of its seed would begin with."""
    torch.manual_seed(derive_seed("weights", config.seed))
    encoder = VisionEncoder(config.model, select_ops(config.train.ops, choose_device(config.train.device)))
    if config.model.init != "scratch":
        start_from(encoder, Path(config.model.init).expanduser())
    return encoder


def load_aligned(checkpoint: str, device: torch.device) -> tuple[SimCroP, Tokenizer]:
    """A model that can compare sentences with patches, and its tokenizer.

    Raises:
        CheckpointError: it was trained without alignment; or as `load_simcrop`.
    """
    model = load_simcrop(checkpoint, device)
    return model, tokenizer_of_aligned(model, checkpoint)


def tokenizer_of_aligned(model: SimCroP, name: str) -> Tokenizer:
    """The tokenizer of a trained model that can compare sentences with patches; CheckpointError where it cannot."""
    if not model.matches_sentences or model.tokenizer is None:
        raise CheckpointError(
            f"{name}: was trained without alignment, so it cannot compare sentences with patches; name one whose "
            "objectives.alignment.weight or objectives.late_interaction.weight is above 0"
        )
    return model.tokenizer


def build_model(
    config: RunConfig, *, reports: Callable[[], Iterable[str]] | None = None, tokenizer_dir: Path | None = None
) -> tuple[SimCroP, HFTokenizer]:
    """An untrained model with the operations that `train.ops` asks for, started from `model.init`, and its tokenizer.

    Args:
        config: of the run.
        reports: texts to learn a vocabulary from, where the text encoder is made from scratch.
        tokenizer_dir: the tokenizer's folder in a checkpoint; wins over `reports`.

    Raises:
        ConfigError: the text encoder or `model.init` cannot be loaded.
        BackendError: see `select_ops`.
    """
    model, tokenizer, _ = begin_model(config, reports=reports, tokenizer_dir=tokenizer_dir)
    return model, tokenizer


def begin_model(
    config: RunConfig, *, reports: Callable[[], Iterable[str]] | None = None, tokenizer_dir: Path | None = None
) -> tuple[SimCroP, HFTokenizer, Start | None]:
    """As `build_model`, with the account of what came from `model.init`; None where that is scratch."""
    device = choose_device(config.train.device)
    model, tokenizer = make_model(
        config, select_ops(config.train.ops, device), reports=reports, tokenizer_dir=tokenizer_dir
    )
    if config.model.init == "scratch":
        return model, tokenizer, None
    loaded = {"encoder"} if config.text_encoder.source == "scratch" else {"encoder", "text_encoder"}
    parts = [name for name, _ in model.named_children() if name not in loaded]
    return model, tokenizer, start_from(model.encoder, Path(config.model.init).expanduser(), other_parts=parts)


def load_simcrop(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    revision: str | None = None,
) -> SimCroP:
    """A trained model in eval mode, with its tokenizer as `.tokenizer`.

    Args:
        path: a run folder (its latest checkpoint), one of its `checkpoints/step_*`, an exported folder, or a hub id;
            what lies here wins over a hub id of the same name.
        device: where to put it; on a GPU it uses the Triton kernels, whatever it was trained with.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: absent, damaged, unreachable, an encoder alone, or a fine-tuned classifier.
    """
    return restore(whole_checkpoint(path, revision), device)


def whole_checkpoint(path: str | Path, revision: str | None = None) -> Checkpoint:
    """The checkpoint of a whole model that a path or hub id means. Raises CheckpointError as `load_simcrop` does."""
    opened = open_weights(local_copy(path, revision))
    return opened.whole(path, "use load_encoder, or name the run that it comes from")


def restore(checkpoint: Checkpoint, device: str | torch.device, kind: type[SimCroP] = SimCroP) -> SimCroP:
    """The model of a checkpoint, in eval mode: a SimCroP, or of a class with more methods; else as `load_simcrop`."""
    config = checkpoint.run_config()
    require_fitting(checkpoint, config)
    ops = select_ops("auto", torch.device(device))
    model, _ = make_model(config, ops, tokenizer_dir=checkpoint.tokenizer_folder(), kind=kind)
    load_weights(model, config, checkpoint)
    return model.to(device).eval()


def load_encoder(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    revision: str | None = None,
    model: Mapping[str, Any] | None = None,
) -> TrainedEncoder:
    """A trained vision encoder alone, in eval mode.

    Args:
        path, device, revision: as for `load_model`; or a file of encoder weights in timm's names, such as the
            authors' `simcrop.pth`, or a .safetensors file.
        model: keys of the configuration's `model` section that such a file does not hold, e.g. {"num_heads": 6}. By
            default 64 channels a head, and spacing and window of the paper.

    Returns:
        A module with `encode(volume, *, normalized=True)` -> [B, N+1, E], class token first, for volumes in HU, RAS,
        at its `.spacing_mm`; `.window` (with `model.windows`: `.recipe.input_windows`) and `.volume_size` say what it
        was trained on. `embed(scan)` has the features of a file.

    Raises:
        CheckpointError: absent, damaged, unreachable, or without some of an encoder's tensors, which are named.
        ConfigError: a key of `model` is wrong.
    """
    opened = open_weights(local_copy(path, revision))
    encoder = opened.encoder(select_ops("auto", torch.device(device)), model, kind=TrainedEncoder)
    assert isinstance(encoder, TrainedEncoder)
    encoder.view = View.by(opened.run_config(), encoder.recipe)
    return encoder.to(device).eval()


def checkpoint_identity(path: str | Path, *, revision: str | None = None) -> dict[str, Any]:
    """Identify the weights that a path or hub id means, for `compose.evaluation.finish` and whoever compares results.

    Args:
        path, revision: as for `load_encoder`.

    Returns:
        `path` as it was named, `step` (updates behind the weights), `sha256` of the file that holds them, the same for
        a checkpoint and its export by `--format simcrop`, and `data_fingerprint` of the studies that it was trained on.
        Step and fingerprint are None where they are not known.

    Raises:
        CheckpointError: as for `load_encoder`.
    """
    opened = open_weights(local_copy(path, revision))
    fingerprint = opened.manifest.get("data_fingerprint")
    return {"path": str(path), "step": opened.step, "sha256": opened.sha256, "data_fingerprint": fingerprint}


def is_of_phantoms(checkpoint: str | Path) -> bool:
    """Whether a model has learned from phantoms alone. Raises CheckpointError as `load_encoder` does."""
    config = open_weights(local_copy(checkpoint, None)).run_config()
    return config is not None and config.data.source == "phantom"


def trained_on(checkpoint: str | Path) -> str:
    """Says in words what kind of studies a model has learned from. Raises CheckpointError as `load_simcrop` does."""
    if is_of_phantoms(checkpoint):
        return "the model was trained on phantoms alone and has seen no patient"
    return "how well the model does that, simcrop eval grounding measures"


def worth_of_maps(checkpoint: str | Path) -> str:
    """A line on what the maps of a model are worth. Raises CheckpointError as `load_simcrop` does."""
    return f"a cosine says where a sentence fits best, not whether it is true; {trained_on(checkpoint)}"


def references_of(checkpoint: str | Path) -> ReferenceScans | None:
    """The reference scans that a model carries, or None. Raises CheckpointError as `load_simcrop` does."""
    return find_references(open_weights(local_copy(checkpoint, None)))


def config_of(checkpoint: Checkpoint) -> RunConfig:
    """The configuration that a checkpoint was trained with."""
    return checkpoint.run_config()
