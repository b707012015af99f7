"""Regions of volumes that a segmentation network is trained on, half of them around an organ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import torch
from jaxtyping import Int16
from torch import Tensor
from torch.nn.functional import pad

from simcrop.adapters.evaluation.segmentation.monai_parts import RandCropByPosNegLabel
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMap, OrganMaps
from simcrop.core.data.augment import AIR_HU
from simcrop.core.data.study import Study
from simcrop.core.evaluation.segment_regions import changed_region, foreground_box
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.ops import Window
from simcrop.core.randomness import derive_seed, generator, shuffled
from simcrop.core.recipe import Size

_SEEDS = 2**32
"""numpy's generators take no larger one."""


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions that a step learns from, on the CPU.

    Attributes:
        voxels: HU.
        classes: of the same voxels; 0 is none of the organs.
        study_ids: of the volumes that they are cut from.
    """

    voxels: Int16[Tensor, "B 1 h w d"]
    classes: Int16[Tensor, "B 1 h w d"]
    study_ids: tuple[str, ...]


class CropBatches:
    """The regions of every step: a function of the seed and the step alone, so that a run can go on anywhere.

    Args:
        maps: where volumes and classes are read from.
        studies: to learn from; each epoch goes through them in another order.
        settings: the `segment` section.
        roi_size: voxels of a region.
        seed: of the run.
        window: HU range of the model.
    """

    def __init__(
        self,
        maps: OrganMaps,
        studies: Sequence[Study],
        settings: SegmentSettings,
        roi_size: Size,
        *,
        seed: int,
        window: Window,
    ) -> None:
        self._maps, self._studies, self._settings = maps, studies, settings
        self._roi_size, self._seed, self._window = roi_size, seed, window

    def studies_of(self, step: int) -> list[Study]:
        """The studies of a step, counted from 1."""
        per_step = self._settings.batch_size
        return [self._study((step - 1) * per_step + number) for number in range(per_step)]

    def batches(self, first_step: int) -> Iterator[list[Regions]]:
        """The regions of a step and of all that follow it, one batch each."""
        return ([self.at(step)] for step in count(first_step))

    def at(self, step: int) -> Regions:
        """A step's regions, `crops_per_volume` of each of its studies.

        Raises:
            DataError: a volume cannot be read.
        """
        studies, regions = self.studies_of(step), list[Tensor]()
        for number, study in enumerate(studies):
            seed = derive_seed("regions", self._seed, step, number) % _SEEDS
            draw = generator("region changes", self._seed, step, number)
            crops = self._crops(self._maps.read(study.reconstructions[0]), seed)
            regions += [changed_region(crop, self._settings, self._window, draw) for crop in crops]
        both = torch.stack(regions)
        return Regions(both[:, :1], both[:, 1:], tuple(study.study_id for study in studies))

    def _crops(self, found: OrganMap, seed: int) -> list[Tensor]:
        """[2, h, w, d]: voxels and classes together, so that both are cut alike."""
        settings = self._settings
        voxels, classes = found.voxels, found.classes.to(torch.int16)
        if settings.foreground:
            box = foreground_box(voxels, self._window)
            voxels, classes = voxels[box], classes[box]
        lacking = [max(0, want - have) for want, have in zip(self._roi_size, voxels.shape, strict=True)]
        around = [side for more in reversed(lacking) for side in (more // 2, more - more // 2)]
        voxels, classes = pad(voxels, around, value=AIR_HU), pad(classes, around)
        above = settings.background_above
        # Where no voxel of the background is above, any may be in the middle of a region.
        is_told = above is not None and bool(((voxels > above) & (classes == 0)).any())
        crop = RandCropByPosNegLabel(
            self._roi_size,
            pos=1,
            neg=1,
            num_samples=settings.crops_per_volume,
            image=voxels[None] if is_told else None,
            image_threshold=above or 0.0,
        )
        crop.set_random_state(seed=seed)
        regions = crop(torch.stack([voxels, classes]), label=classes[None])
        return [torch.as_tensor(region).as_subclass(Tensor) for region in regions]

    def _study(self, position: int) -> Study:
        epoch, index = divmod(position, len(self._studies))
        order = shuffled(len(self._studies), "segmented studies", self._seed, epoch)
        return self._studies[int(order[index])]
