"""A MONAI bundle that computes features of NIfTI files without simcrop.

    configs/metadata.json  configs/inference.json  models/model.pt  docs/README.md  LICENSE
    scripts/               the network, reading and writing, as `standalone` has them

Configurations are JSON, as MONAI needs another package to read YAML. The weights are a file of tensors alone, read with
weights_only; it has the name and form that MONAI's own loading expects.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from simcrop.adapters.export.encoder_sizes import encoder_sizes, input_sizes
from simcrop.adapters.export.transformers_folder import STANDALONE
from simcrop.adapters.loading.resample import HU_RANGE
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import ModelRecipe, Size

CARD = "docs/README.md"
"""MONAI's place of a model card."""
_MONAI = "1.6.1"
"""The version that bundles are tested with; writing one needs none."""
_SCRIPTS = ("vision.py", "scan.py", "bundle_steps.py")
_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"


def write_bundle(folder: Path, encoder: VisionEncoder, grid_size: Size, name: str, licence: str | None) -> None:
    """Write the bundle's files but its model card.

    Args:
        folder: exists and is empty.
        encoder: in eval mode.
        grid_size: of the grid that scans are resampled onto before their centre is cut out.
        name: of the bundle.
        licence: of the weights.
    """
    for part in ("configs", "models", "scripts", "docs"):
        (folder / part).mkdir()
    for file, content in {
        "metadata": _metadata(encoder.recipe, name, licence),
        "inference": _inference(encoder.recipe, grid_size),
    }.items():
        (folder / "configs" / f"{file}.json").write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
    weights = {key: value.detach().cpu().contiguous() for key, value in encoder.state_dict().items()}
    torch.save(weights, folder / "models" / "model.pt")
    for script in _SCRIPTS:
        shutil.copyfile(STANDALONE / script, folder / "scripts" / script)
    (folder / "scripts" / "__init__.py").touch()
    shutil.copyfile(STANDALONE / "LICENSE", folder / "LICENSE")


def _inference(recipe: ModelRecipe, grid_size: Size) -> dict[str, Any]:
    """`run` writes the features of every NIfTI file below `dataset_dir`; any key can be set on the command line."""
    return {
        "imports": ["$import torch", "$import scripts.bundle_steps as steps"],
        "bundle_root": ".",
        "dataset_dir": "$@bundle_root + '/data'",
        "output_dir": "$@bundle_root + '/eval'",
        "save_tokens": False,
        "batch_size": 1,
        "num_workers": 0,
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "network_def": {"_target_": "scripts.vision.VisionEncoder", **encoder_sizes(recipe)},
        "network": "$@network_def.to(@device).eval()",
        "preprocessing": {
            "_target_": "scripts.bundle_steps.ReadScand",
            "keys": "image",
            **input_sizes(recipe, grid_size),
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$steps.scan_items(@dataset_dir)",
            "transform": "@preprocessing",
        },
        "dataloader": {
            "_target_": "DataLoader",
            "dataset": "@dataset",
            "batch_size": "@batch_size",
            "shuffle": False,
            "num_workers": "@num_workers",
        },
        "run": [  # and nothing at `initialize`: MONAI finds scripts/ from any folder here alone
            "$@network.load_state_dict(torch.load(@bundle_root + '/models/model.pt', @device, weights_only=True))",
            "$steps.write_features(@network, @dataloader, device=@device, dataset_dir=@dataset_dir, "
            "output_dir=@output_dir, save_tokens=@save_tokens)",
        ],
    }


def _metadata(recipe: ModelRecipe, name: str, licence: str | None) -> dict[str, Any]:
    """What MONAI tells of a bundle. Its words: the channels of the output are the tokens."""
    return {
        "schema": _SCHEMA,
        "version": "1.0.0",
        "changelog": {"1.0.0": "Exported from simcrop"},
        "monai_version": _MONAI,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"nibabel": nib.__version__},
        "name": name,
        "task": "Features of chest CT",
        "description": "A 3D vision transformer that was pre-trained on chest CT by the method of SimCroP",
        "authors": "Whoever exported it, with simcrop",
        "copyright": f"Weights: {licence or 'no licence was chosen'}. Code: Apache License 2.0",
        "intended_use": "Research. Not a medical device, and not validated for diagnosis or care",
        "references": ["Wang et al. SimCroP, MICCAI 2025. arXiv:2509.08311"],
        "network_data_format": {
            "inputs": {"image": _image(recipe)},
            "outputs": {
                "pred": {
                    "type": "feature",
                    "format": "tokens",
                    "num_channels": recipe.num_patches + 1,
                    "spatial_shape": [recipe.embed_dim],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {"0": "class token", "1": "first of the patches"},
                }
            },
        },
    }


def _image(recipe: ModelRecipe) -> dict[str, Any]:
    spacing = " x ".join(f"{value:g}" for value in recipe.spacing_mm)
    return {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "orientation": f"RAS, voxels of {spacing} mm",
        "num_channels": 1,
        "spatial_shape": list(recipe.volume_size),
        "dtype": "float32",
        "value_range": list(HU_RANGE),
        "is_patch_data": False,
        "channel_def": {"0": "image"},
    }
