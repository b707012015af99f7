"""What `simcrop info` knows about this machine or a checkpoint."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from simcrop import compose
from simcrop.adapters.checkpoint_folder import find_checkpoint
from simcrop.core.errors import BackendError

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
    """What a checkpoint is: step, model, data, and what it was made with.

    Raises:
        CheckpointError: there is none at `path`, or it is damaged.
    """
    checkpoint = find_checkpoint(path)
    config, manifest = compose.config_of(checkpoint), checkpoint.manifest
    weights = checkpoint.weights()
    model = config.model
    facts = {
        "checkpoint": str(checkpoint.folder),
        "run": f"{config.name}, step {checkpoint.step} of {config.train.steps}, seed {config.seed}",
        "recipe": f"{config.recipe}, {model.preset}",
        "volume": f"{model.volume_size} voxels of {model.spacing_mm} mm, patches of {model.patch_size}",
        "parameters": f"{sum(tensor.numel() for tensor in weights.values()):,} stored",
        "text encoder": config.text_encoder.source,
        "data": f"{config.data.source}, fingerprint {str(manifest.get('data_fingerprint'))[:12]}",
        "commit": str(manifest.get("git_commit")),
    }
    facts |= {f"made with {name}": str(value) for name, value in manifest.get("versions", {}).items()}
    return facts | {name: f"{value:.4f}" for name, value in (manifest.get("metrics") or {}).items()}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
