"""A model that looks for brightness, and scans with a bright block at a known place."""

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from simcrop.core.data.batch import Encoding, Tokens
from simcrop.core.model.patches import apply_window, patchify
from simcrop.core.recipe import ModelRecipe, TextEncoderRecipe

RECIPE = ModelRecipe(
    volume_size=(20, 16, 12), patch_size=(4, 4, 3), local_patch_size=None, spacing_mm=(4.0, 4.0, 6.0), embed_dim=6,
    num_heads=1, projection_dim=6, fusion_heads=1,
)  # fmt: skip
PATCH_MM = np.array(RECIPE.patch_size) * np.array(RECIPE.spacing_mm)
CENTRE = np.array([31.0, -47.0, 205.0])


class Words:
    """A token a word; those with a q are unknown."""

    pad_id, mask_id, cls_id, sep_id, unk_id = 0, 1, 2, 3, 4

    def encode(self, sentences: Sequence[str], *, max_tokens: int, separator: bool = True) -> Encoding:
        assert separator
        pairs = [(index, word) for index, sentence in enumerate(sentences) for word in sentence.split()][
            : max_tokens - 2
        ]
        ids = [4 if "q" in word.lower() else 5 + ("bright" in word.lower()) for _, word in pairs]
        return Encoding((2, *ids, 3), (-1, *(index for index, _ in pairs), -1), 0)


class BrightnessModel(torch.nn.Module):
    """A sentence with the word "bright" is like patches of metal, any other like patches of air."""

    recipe = RECIPE
    text_recipe = TextEncoderRecipe(max_tokens=400)

    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.Module()
        self.encoder.cls_token = torch.nn.Parameter(torch.zeros(1))
        self.num_read = 0

    def patch_features(self, volume: torch.Tensor) -> torch.Tensor:
        means = patchify(apply_window(volume, RECIPE.window), RECIPE.patch_size).mean(-1, keepdim=True)
        return torch.cat([means, torch.full_like(means, 0.5)], dim=-1)

    def sentence_features(self, findings: Tokens, count: int) -> torch.Tensor:
        self.num_read, owners, ids = count, findings.sentence_of_token, findings.ids
        is_bright = [bool(((owners[0] == number) & (ids[0] == 6)).any()) for number in range(count)]
        return torch.tensor([[[1.0 if bright else -1.0, 0.0] for bright in is_bright]])


def world_of(patch: tuple[int, int, int]) -> np.ndarray:
    """Centre of a patch of the model's volume, whose middle lies on the scan's."""
    return CENTRE + (np.array(patch) - (np.array(RECIPE.grid) - 1) / 2) * PATCH_MM


def write_scan(path: Path, axes: np.ndarray, patch: tuple[int, int, int], *, shape: tuple[int, int, int]) -> np.ndarray:
    """A body in air, with metal where the model has a patch; returns the scan's affine."""
    affine = np.eye(4)
    affine[:3, :3] = axes @ np.diag([1.9, 2.0, 2.1])
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = index @ affine[:3, :3].T + affine[:3, 3]
    voxels = np.full(shape, -1000, np.int16)
    voxels[np.linalg.norm(world - CENTRE, axis=-1) < 40] = 40
    voxels[(np.abs(world - world_of(patch)) <= PATCH_MM / 2).all(-1)] = 3000
    image = nib.Nifti1Image(voxels, affine)
    image.set_qform(affine, code=1)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return nib.load(path).affine
