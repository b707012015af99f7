"""Whole volumes segmented, compared with the truth, and written in the geometry of their own files."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int16, UInt8
from torch import Tensor

from simcrop.adapters.evaluation.segmentation.monai_parts import compute_hausdorff_distance, sliding_window_inference
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps, read_classes
from simcrop.adapters.evaluation.segmentation.unetr import UNETR
from simcrop.adapters.formats.nifti import nifti_bytes
from simcrop.adapters.formats.opening import without_suffix
from simcrop.adapters.loading.own_grid import OwnGrid, on_grid, own_grid
from simcrop.adapters.problems.paths import inside
from simcrop.adapters.system.files import whole_file
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.study import Study
from simcrop.core.evaluation.overlap import dice_of_background, dice_of_classes
from simcrop.core.evaluation.segment_regions import foreground_box
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics


@dataclass(frozen=True)
class Segmenter:
    """A network that segments whole volumes.

    Attributes:
        network: on the device that computes.
        overlap: share of a region that it has in common with the next one.
        train: the `train` section, for precision and attention.
        foreground: whether a volume is segmented within its `foreground_box` alone; there is no class outside.
    """

    network: UNETR
    overlap: float
    train: TrainRecipe
    foreground: bool = False

    @torch.no_grad()
    def __call__(self, voxels: Int16[Tensor, "H W D"]) -> UInt8[Tensor, "H W D"]:
        """The class of each voxel of a volume in HU, by the mean score of the regions that see it."""
        device = next(self.network.parameters()).device
        self.network.eval()
        if self.foreground:
            found, box = (
                torch.zeros_like(voxels, dtype=torch.uint8),
                foreground_box(voxels, self.network.encoder.window),
            )
            found[box] = self._within(voxels[box], device)
            return found
        return self._within(voxels, device)

    def _within(self, voxels: Int16[Tensor, "h w d"], device: torch.device) -> UInt8[Tensor, "h w d"]:
        volume = voxels.to(device, torch.float32)[None, None]
        with numerics(device, self.train):
            scores = sliding_window_inference(
                volume, self.network.roi_size, 1, self._scores, overlap=self.overlap, cval=AIR_HU
            )
        assert isinstance(scores, Tensor)
        return scores[0].argmax(0).to(torch.uint8).cpu()

    def _scores(self, region: Tensor) -> Tensor:
        return self.network(region).float()


def write_prediction(folder: Path, reconstruction: str, classes: UInt8[Tensor, "X Y Z"], grid: OwnGrid) -> Path:
    """Write a map that overlays the volume's own file voxel by voxel; returns its path, named like the volume.

    Args:
        folder: of all predictions.
        reconstruction: name of the volume; folders in it become folders.
        classes: on the file's own grid.
        grid: that grid.
    """
    path = inside(folder.resolve(), f"{without_suffix(reconstruction)}.nii.gz")
    write_classes(path, classes, grid)
    return path


def write_classes(path: Path, classes: UInt8[Tensor, "X Y Z"], grid: OwnGrid) -> None:
    """Write a map of classes on a file's own grid, as NIfTI; the folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path, durable=False) as file:
        file.write(nifti_bytes(path.name, classes.numpy().reshape(grid.shape), grid.affine.numpy()))


@dataclass(frozen=True)
class SegmentedStudy:
    """Scores of one held-out volume; a list has one entry for each class, NaN where there is no truth.

    Attributes:
        study: the study.
        file: the prediction.
        dice: on the grid of segmentation, as published.
        background_dice: the same of the background, a single number.
        own_dice: of the written file, on the volume's own grid.
        distances_mm: 95 % Hausdorff distance, also NaN where nothing was predicted or it is not measured.
        volumes_ml: of the prediction.
        true_volumes_ml: of the truth.
    """

    study: Study
    file: Path
    dice: list[float]
    background_dice: float
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
    own = own_grid(maps.source, name)
    own_predicted = on_grid(predicted, found.affine, own)
    own_truth = read_classes(maps.source, name, maps.classes, own.affine, own.size)
    spacing = maps.spacing_mm
    distances = [_distance(predicted, found.classes, number, spacing) for number in range(1, count + 1) if hausdorff]
    return SegmentedStudy(
        study,
        write_prediction(folder, name, own_predicted, own),
        dice_of_classes(predicted, found.classes, count).tolist(),
        dice_of_background(predicted, found.classes),
        dice_of_classes(own_predicted, own_truth, count).tolist(),
        distances or [math.nan] * count,
        volumes_ml(predicted, count, spacing),
        volumes_ml(found.classes, count, spacing),
    )


def selection_dice(
    segmenter: Segmenter, maps: OrganMaps, studies: Sequence[Study], *, with_background: bool = False
) -> float:
    """Mean over classes of the mean Dice over studies, on the grid of segmentation; NaN without any truth.

    Args:
        segmenter: the network.
        maps: volumes and their true classes.
        studies: at least one.
        with_background: whether the background is one of the classes.
    """
    scores: list[Tensor] = []
    for found in (maps.read(study.reconstructions[0]) for study in studies):
        predicted = segmenter(found.voxels)
        scores.append(dice_of_classes(predicted, found.classes, len(maps.classes)))
        if with_background:
            background = scores[-1].new_tensor([dice_of_background(predicted, found.classes)])
            scores[-1] = torch.cat([background, scores[-1]])
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


def volumes_ml(
    classes: UInt8[Tensor, "H W D"], num_classes: int, spacing_mm: tuple[float, float, float]
) -> list[float]:
    """The volume of each class but the background, ml."""
    counts = torch.bincount(classes.flatten(), minlength=num_classes + 1)[1:]
    return (counts.double() * math.prod(spacing_mm) / 1000).tolist()
