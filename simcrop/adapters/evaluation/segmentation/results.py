"""Whole volumes segmented, compared with the truth, and written in the geometry of their own files."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float, Int16, UInt8
from scipy.ndimage import affine_transform
from torch import Tensor

from simcrop.adapters.evaluation.segmentation.monai_parts import compute_hausdorff_distance, sliding_window_inference
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps, read_classes
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.formats.opening import is_nifti, without_suffix
from simcrop.adapters.problems.paths import inside
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.study import Study
from simcrop.core.evaluation.overlap import dice_of_classes
from simcrop.core.recipe import Size, TrainRecipe
from simcrop.core.training.learner import numerics

_DECIMALS = 6
"""Of voxel indices: what lies on the border of two voxels does so for everybody."""


@dataclass(frozen=True)
class Segmenter:
    """A network that segments whole volumes.

    Attributes:
        network: on the device that computes.
        overlap: share of a region that it has in common with the next one.
        train: the `train` section, for precision and attention.
    """

    network: UNETR
    overlap: float
    train: TrainRecipe

    @torch.no_grad()
    def __call__(self, voxels: Int16[Tensor, "H W D"]) -> UInt8[Tensor, "H W D"]:
        """The class of each voxel of a volume in HU, by the mean score of the regions that see it."""
        device = next(self.network.parameters()).device
        self.network.eval()
        volume = voxels.to(device, torch.float32)[None, None]
        with numerics(device, self.train):
            scores = sliding_window_inference(
                volume, self.network.roi_size, 1, self._scores, overlap=self.overlap, cval=AIR_HU
            )
        assert isinstance(scores, Tensor)
        return scores[0].argmax(0).to(torch.uint8).cpu()

    def _scores(self, region: Tensor) -> Tensor:
        return self.network(region).float()


@dataclass(frozen=True)
class OwnGrid:
    """The voxels of a volume's own file.

    Attributes:
        shape: as nibabel loads it; axes beyond the third have one entry.
        size: the first three of it.
        affine: maps indices to world coordinates in mm, RAS.
    """

    shape: tuple[int, ...]
    size: Size
    affine: Float[Tensor, "4 4"]


def own_grid(maps: OrganMaps, reconstruction: str) -> OwnGrid:
    """The grid of a volume's NIfTI file; of a volume in another format, its voxels with their axes in RAS order."""
    path = maps.source.volume_file(reconstruction)
    if is_nifti(path):
        image: Any = nib.load(path)
        shape, affine = tuple(int(n) for n in image.shape), torch.from_numpy(np.asarray(image.affine, np.float64))
    else:
        volume = maps.source.read_volume(reconstruction)
        shape, affine = tuple(volume.voxels.shape), volume.affine.double()
    return OwnGrid(shape, (shape[0], shape[1], shape[2]), affine)


def on_grid(classes: UInt8[Tensor, "H W D"], affine: Float[Tensor, "4 4"], grid: OwnGrid) -> UInt8[Tensor, "X Y Z"]:
    """A map of classes on another grid, nearest neighbour; beyond its outermost voxels it goes on as they are.

    Args:
        classes: on a grid that covers the other one.
        affine: of that grid.
        grid: where to.
    """
    combined = np.round(np.linalg.inv(affine.double().numpy()) @ grid.affine.numpy(), _DECIMALS)
    matrix, offset = combined[:3, :3], combined[:3, 3]
    turned = affine_transform(
        classes.numpy(), matrix, offset.tolist(), output_shape=grid.size, order=0, mode="nearest", prefilter=False
    )
    return torch.from_numpy(turned)


def write_prediction(folder: Path, reconstruction: str, classes: UInt8[Tensor, "X Y Z"], grid: OwnGrid) -> Path:
    """Write a map that overlays the volume's own file voxel by voxel; returns its path, named like the volume.

    Args:
        folder: of all predictions.
        reconstruction: name of the volume; folders in it become folders.
        classes: on the file's own grid.
        grid: that grid.
    """
    path = inside(folder.resolve(), f"{without_suffix(reconstruction)}.nii.gz")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, classes.numpy().reshape(grid.shape), grid.affine.numpy())
    return path


@dataclass(frozen=True)
class SegmentedStudy:
    """Scores of one held-out volume; a list has one entry for each class, NaN where there is no truth.

    Attributes:
        study: the study.
        file: the prediction.
        dice: on the grid of segmentation, as published.
        own_dice: of the written file, on the volume's own grid.
        distances_mm: 95 % Hausdorff distance, also NaN where nothing was predicted or it is not measured.
        volumes_ml: of the prediction.
        true_volumes_ml: of the truth.
    """

    study: Study
    file: Path
    dice: list[float]
    own_dice: list[float]
    distances_mm: list[float]
    volumes_ml: list[float]
    true_volumes_ml: list[float]


def segment_study(
    segmenter: Segmenter, maps: OrganMaps, study: Study, folder: Path, *, hausdorff: bool
) -> SegmentedStudy:
    """Segment a study's first volume, write the prediction, and compare it with the truth.

    Args:
        segmenter: the network.
        maps: volumes and their true classes.
        study: to segment.
        folder: of all predictions.
        hausdorff: whether to measure distances, which takes long on large volumes.
    """
    name, count = study.reconstructions[0], len(maps.classes)
    found = maps.read(name)
    predicted = segmenter(found.voxels)
    own = own_grid(maps, name)
    own_predicted = on_grid(predicted, found.affine, own)
    own_truth = read_classes(maps.source, name, maps.classes, own.affine, own.size)
    spacing = maps.spacing_mm
    distances = [_distance(predicted, found.classes, number, spacing) for number in range(1, count + 1) if hausdorff]
    return SegmentedStudy(
        study,
        write_prediction(folder, name, own_predicted, own),
        dice_of_classes(predicted, found.classes, count).tolist(),
        dice_of_classes(own_predicted, own_truth, count).tolist(),
        distances or [math.nan] * count,
        _volumes_ml(predicted, count, spacing),
        _volumes_ml(found.classes, count, spacing),
    )


def selection_dice(segmenter: Segmenter, maps: OrganMaps, studies: Sequence[Study]) -> float:
    """Mean over classes of the mean Dice over studies, on the grid of segmentation; NaN without any truth."""
    found = (maps.read(study.reconstructions[0]) for study in studies)
    scores = [dice_of_classes(segmenter(each.voxels), each.classes, len(maps.classes)) for each in found]
    return float(torch.stack(scores).nanmean(0).nanmean())


def _distance(predicted: Tensor, truth: Tensor, number: int, spacing_mm: tuple[float, float, float]) -> float:
    """95 % Hausdorff distance of one class, mm."""
    ours, wanted = (predicted == number)[None, None], (truth == number)[None, None]
    if not (ours.any() and wanted.any()):
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distance = compute_hausdorff_distance(
            ours.float(), wanted.float(), include_background=True, percentile=95, spacing=list(spacing_mm)
        )
    return float(distance)


def _volumes_ml(classes: Tensor, num_classes: int, spacing_mm: tuple[float, float, float]) -> list[float]:
    counts = torch.bincount(classes.flatten(), minlength=num_classes + 1)[1:]
    return (counts.double() * math.prod(spacing_mm) / 1000).tolist()
