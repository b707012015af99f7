"""Facts about this machine or a checkpoint, for `simcrop info`."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from simcrop import compose
from simcrop.adapters.checkpoints.encoder_file import Trained, open_weights
from simcrop.adapters.config.run import RunConfig
from simcrop.core.errors import BackendError
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reference import REFERENCE

_LIBRARIES = ("simcrop", "torch", "triton", "transformers", "nibabel", "numpy")


def machine_facts() -> dict[str, str]:
    """Versions, device, and the implementation of the operations with the reason for it."""
    facts = {"python": platform.python_version()}
    facts |= {name: _version(name) for name in _LIBRARIES}
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    facts["gpu"] = ", ".join(gpus) or "none"
    facts["cpu threads"] = str(torch.get_num_threads())
    try:
        compose.select_ops("triton", torch.device("cuda" if gpus else "cpu"))
        facts["operations"] = "triton"
    except BackendError as error:
        facts["operations"] = f"reference, plain torch ({error})"
    return facts


def checkpoint_facts(path: Path) -> dict[str, str]:
    """Facts about a checkpoint: step, model, data, and what it was made with; of an encoder alone, what its file says.

    Raises:
        CheckpointError: there is none at `path`, it is damaged, or no command takes it.
    """
    opened = open_weights(path)
    config = opened.run_config()
    return _encoder_facts(opened) if config is None else _own_facts(opened, config)


def _encoder_facts(file: Trained) -> dict[str, str]:
    recipe = file.encoder(REFERENCE).recipe
    return {
        "checkpoint": str(file.path),
        "holds": "a vision encoder alone, for eval probe, knn, finetune and segment, export, and model.init",
        "step": "not recorded" if file.step is None else str(file.step),
        "volume": _volume(recipe),
        "encoder": f"{recipe.embed_dim} wide, {recipe.depth} blocks of {recipe.num_heads} heads",
        "parameters": f"{sum(tensor.numel() for tensor in file.weights().values()):,} stored",
    }


def _own_facts(checkpoint: Trained, config: RunConfig) -> dict[str, str]:
    manifest, weights = checkpoint.manifest, checkpoint.weights()
    facts = {"checkpoint": str(checkpoint.path)}
    if "classifier" in manifest:
        labels = ", ".join(manifest["classifier"]["labels"])
        facts |= {
            "holds": f"a classifier of {labels}, fine-tuned for {checkpoint.step} steps; no text side",
            "run": f"{config.name}, seed {config.seed}",
        }
    else:
        facts |= {
            "run": f"{config.name}, step {checkpoint.step} of {config.train.steps}, seed {config.seed}",
            "recipe": f"{config.recipe}, {config.model.preset}",
            "text encoder": config.text_encoder.source,
        }
    facts |= {
        "volume": _volume(config.model),
        "parameters": f"{sum(tensor.numel() for tensor in weights.values()):,} stored",
        "data": f"{config.data.source}, fingerprint {str(manifest.get('data_fingerprint'))[:12]}",
        "commit": str(manifest.get("git_commit")),
    }
    facts |= {f"made with {name}": str(value) for name, value in manifest.get("versions", {}).items()}
    return facts | {name: f"{value:.4f}" for name, value in (manifest.get("metrics") or {}).items()}


def _volume(recipe: ModelRecipe) -> str:
    windows = "" if recipe.windows is None else f", under {len(recipe.windows)} windows"
    return f"{recipe.volume_size} voxels of {recipe.spacing_mm} mm, patches of {recipe.patch_size}{windows}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
