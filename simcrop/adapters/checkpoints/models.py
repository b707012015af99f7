"""Models from configurations and checkpoints."""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path

import torch

from simcrop.adapters.checkpoints.folder import WEIGHTS, Checkpoint
from simcrop.adapters.checkpoints.tensor_files import require_fit
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.system.files import writing
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.adapters.text.encoder import HFTextEncoder, load_text_encoder, restore_text_encoder, save_text_encoder
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.core.errors import CheckpointError
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ops import Ops
from simcrop.core.randomness import derive_seed
from simcrop.core.reference import REFERENCE


def make_model(
    config: RunConfig,
    ops: Ops,
    *,
    reports: Callable[[], Iterable[str]] | None = None,
    tokenizer_dir: Path | None = None,
    kind: type[SimCroP] = SimCroP,
) -> tuple[SimCroP, HFTokenizer]:
    """A model with random weights, the same for the same configuration and reports, and its tokenizer.

    Args:
        config: sizes, objectives and seed.
        ops: implementation of the accelerated operations.
        reports: texts to learn a vocabulary from, where the text encoder is made from scratch.
        tokenizer_dir: folder that holds `tokenizer_files`; wins over `reports`, and over `text_encoder.source` where
            the weights of that one are not needed.
        kind: class of the model: SimCroP, or one with more methods.

    Raises:
        ConfigError: the text encoder cannot be loaded.
        CheckpointError: `tokenizer_dir` is incomplete.
    """
    seed = derive_seed("weights", config.seed)
    torch.manual_seed(seed)
    tokenizer, text_encoder = _text_side(config, reports, tokenizer_dir)
    torch.manual_seed(seed)  # however many numbers the text encoder took
    return _network(config, ops, tokenizer, text_encoder, kind), tokenizer


def _text_side(
    config: RunConfig, reports: Callable[[], Iterable[str]] | None, tokenizer_dir: Path | None
) -> tuple[HFTokenizer, HFTextEncoder]:
    if tokenizer_dir is not None and _stores_text_encoder(config):
        return restore_text_encoder(tokenizer_dir)
    return load_text_encoder(config.text_encoder, reports=reports, folder=tokenizer_dir)


def _network(
    config: RunConfig, ops: Ops, tokenizer: HFTokenizer, text_encoder: HFTextEncoder, kind: type[SimCroP]
) -> SimCroP:
    model = kind(
        config.model,
        config.objectives,
        config.text_encoder,
        text_encoder=text_encoder,
        vocab_size=tokenizer.vocab_size,
        ops=ops,
    )
    model.tokenizer = tokenizer
    return model


def require_fitting(checkpoint: Checkpoint, config: RunConfig) -> None:
    """Compare what the header of a checkpoint's weights says with the model that its other files describe.

    This comes before that model is built: its sizes may be anything, and where they are those of the weights, the file
    has room for them. A model on the meta device has shapes and no memory.

    Raises:
        CheckpointError: they do not belong together, or a file is damaged.
        ConfigError: a text encoder that others provide cannot be loaded.
    """
    stored, elsewhere = checkpoint.stored(), provided_elsewhere(config)
    folder = checkpoint.tokenizer_folder()
    with nullcontext() if _loads_text_encoder(config) else torch.device("meta"):
        text_side = _text_side(config, None, folder)
    with torch.device("meta"):
        model = _network(config, REFERENCE, *text_side, SimCroP)
    require_fit(checkpoint.path / WEIGHTS, stored, model, left_out=elsewhere)


def tokenizer_files(
    model: SimCroP, config: RunConfig, tokenizer: HFTokenizer, start: Checkpoint | None
) -> dict[str, bytes]:
    """Files of a checkpoint's folder `tokenizer`: the tokenizer, and the sizes of a text encoder that it stores.

    Args:
        model: of the run.
        config: of the run.
        tokenizer: of the model.
        start: the checkpoint that a run continues, whose files are taken as they are; None for a fresh run.

    Returns:
        Name -> content.

    Raises:
        CheckpointError: the folder for temporary files takes none.
    """
    if start is not None:
        return _contents(start.tokenizer_folder())
    remedy = "free some space there, or set TMPDIR to another folder"
    with writing(tempfile.gettempdir(), CheckpointError, remedy), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if _stores_text_encoder(config) and isinstance(model.text_encoder, HFTextEncoder):
            save_text_encoder(tokenizer, model.text_encoder, folder)
        else:
            tokenizer.save(folder)
        return _contents(folder)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _stores_text_encoder(config: RunConfig) -> bool:
    """Whether the model has a text encoder, and its weights lie in the checkpoint."""
    return config.objectives.reads_reports and not provided_elsewhere(config)


def _loads_text_encoder(config: RunConfig) -> bool:
    """Whether the text encoder of a checkpoint comes from a folder or the hub, whatever the checkpoint has."""
    return not _stores_text_encoder(config) and config.text_encoder.source != "scratch"


def provided_elsewhere(config: RunConfig) -> tuple[str, ...]:
    """Prefixes of weights that checkpoints leave out: those of a frozen text encoder that was loaded."""
    text = config.text_encoder
    return ("text_encoder.",) if text.is_frozen and text.source != "scratch" else ()


def provided_weights(model: SimCroP, config: RunConfig) -> dict[str, str | None] | None:
    """Record of weights that a checkpoint leaves out: where they are from, and their hash."""
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
            f"text_encoder.source: {found['source']} has weights of sha256 {found['sha256']}, and {checkpoint.path} "
            f"was trained with {expected['sha256']} (revision {expected['revision']}); provide those"
        )
    report = model.load_state_dict(checkpoint.weights(), strict=False)
    missing = [name for name in report.missing_keys if not name.startswith(provided_elsewhere(config))]
    if missing or report.unexpected_keys:
        name = [*missing, *report.unexpected_keys][0]
        raise CheckpointError(f"{checkpoint.path}: {name} does not belong to the model in its config.json")
