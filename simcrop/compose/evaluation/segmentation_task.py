"""Beginning of a segmentation: studies with masks, on the grid of a model."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import with_model
from simcrop.adapters.evaluation.segmentation.organ_maps import OrganMaps, annotated, class_names
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.resample import Grid
from simcrop.adapters.problems.verdicts import Verdicts
from simcrop.adapters.sources.registry import build_source
from simcrop.adapters.system.pool import usable_cores
from simcrop.adapters.system.progress import counted
from simcrop.compose.data import Data
from simcrop.core.data.split import Refusals
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError, DataError
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.randomness import derive_seed
from simcrop.core.recipe import ModelRecipe, Size

_LARGEST_ROI = (96, 96, 48)
_log = logging.getLogger("simcrop")


@dataclass(frozen=True, eq=False)
class SegmentationTask:
    """Studies and their organs.

    Attributes:
        config: with the model in it, and everything about the network filled in.
        data: the studies that have masks; their volumes on the model's own grid need not be prepared.
        maps: volumes with their classes on the grid of segmentation.
        warnings: what a reader of the result must know.
    """

    config: RunConfig
    data: Data
    maps: OrganMaps
    warnings: tuple[str, ...]

    @property
    def roi_size(self) -> Size:
        """Voxels that the network sees at a time."""
        assert self.config.segment.roi_size is not None
        return self.config.segment.roi_size

    def prepare(self, studies: Sequence[Study]) -> None:
        """Resample the first volume of each study, where that is not done. Raises DataError where one is damaged."""
        names = list(dict.fromkeys(study.reconstructions[0] for study in studies))
        with counted("volumes on the grid of segmentation") as progress:
            self.maps.prepare(names, workers=usable_cores(), progress=progress)


def begin_segmentation(config: RunConfig, recipe: ModelRecipe) -> SegmentationTask:
    """Find the studies that have masks, and divide them by patient.

    Args:
        config: names the data and the classes.
        recipe: of the model.

    Raises:
        ConfigError: an unknown class, or a region that the patch does not divide.
        DataError: data are absent or wrong, no held-out study has masks, or one lacks some of them.
    """
    config = with_model(config, recipe)
    roi_size = region_size(config.segment, recipe)
    spacing = config.segment.spacing_mm or recipe.spacing_mm
    source = build_source(config.data)
    if source.exclusion_note:
        _log.info(source.exclusion_note)
    classes = class_names(source, config.segment.classes)
    settings = replace(config.segment, classes=classes, spacing_mm=spacing, roi_size=roi_size)
    config = replace(config, segment=settings)
    known = Verdicts(config.data.prepared, source).errors()
    refusals = Refusals(source.studies(), known, max_bad_share=config.data.max_bad_share)
    parts = refusals.divided(config.data.validation_fraction)
    num_usable = sum(map(len, parts))
    if left_out := refusals.summary():
        _log.warning(left_out)
    train, held_out = (annotated(source, part, classes) for part in parts)
    if not held_out:
        raise DataError(
            f"data: none of the {len(parts[1])} held-out studies (of {num_usable}) has masks of organs; see "
            "docs/ground_truth.md for the format, or change data.validation_fraction"
        )
    lacking = num_usable - len(train) - len(held_out)
    warnings = (f"{lacking} of {num_usable} studies have no masks and are left out",) if lacking else ()
    assert config.data.prepared_size is not None
    grid = Grid(recipe.spacing_mm, config.data.prepared_size)
    prepared = PreparedVolumes(source, grid, config.data.prepared, config.data.storage)
    maps = OrganMaps(source, classes, spacing, config.data.prepared)
    return SegmentationTask(config, Data(source, train, held_out, prepared), maps, warnings)


def region_size(settings: SegmentSettings, recipe: ModelRecipe) -> Size:
    """The region that is asked for; by default the largest of whole patches within 96 x 96 x 48 and the model's volume.

    Raises:
        ConfigError: the patch does not divide the one that is asked for.
    """
    patch = recipe.patch_size
    if settings.roi_size is not None:
        for size, step in zip(settings.roi_size, patch, strict=True):
            if size % step:
                raise ConfigError(f"segment.roi_size: {size} is not divisible by the model's patch_size {step}")
        return settings.roi_size
    limits = zip(_LARGEST_ROI, recipe.volume_size, patch, strict=True)
    x, y, z = (min(max(largest // step, 1) * step, whole) for largest, whole, step in limits)
    return x, y, z


def drawn(studies: Sequence[Study], limit: int | None) -> list[Study]:
    """Some of the studies, by a hash of their patients; a smaller number of them are the first of a larger one."""
    return sorted(studies, key=lambda study: (derive_seed("held out", study.patient_id), study.study_id))[:limit]
