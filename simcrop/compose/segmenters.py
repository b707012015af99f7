"""Networks that segment organs: new ones, kept ones, and kept ones applied to scans of one's own."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import config_from_tree
from simcrop.adapters.evaluation.segmentation.files import (
    require_segmenter,
    segmenter_config,
    segmenter_weights,
)
from simcrop.adapters.formats.feature_tables import TableFormat
from simcrop.adapters.loading.own_grid import on_grid
from simcrop.adapters.loading.own_volumes import SeenScan, WholeScan, look_at_whole
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.applying import Applied, Computed, ScanOptions, Work, apply_to_scans
from simcrop.compose.ops import select_ops
from simcrop.compose.pages import shown_whole
from simcrop.compose.predicted_page import PredictedPages, about_prediction, worth_of
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.randomness import derive_seed
from simcrop.core.recipe import TrainRecipe
from simcrop.core.reference import REFERENCE

if TYPE_CHECKING:
    from simcrop.adapters.evaluation.segmentation.unetr import UNETR

_AGAIN = "take another network"
_MOST_PLACES = 1 << 25
"""Numbers in the table of places of a region's tokens, fifty times those of the paper's."""
_WORTH = "tints and volumes are what the network finds, and nobody has looked at them"


def new_network(config: RunConfig, encoder: VisionEncoder) -> "UNETR":
    """A network around an encoder, its other weights drawn from the seed of the configuration.

    Args:
        config: with `segment.classes` and `segment.roi_size` filled in.
        encoder: on the CPU; becomes a part of it.
    """
    from simcrop.adapters.evaluation.segmentation.unetr import UNETR

    settings = config.segment
    assert settings.roi_size is not None
    torch.manual_seed(derive_seed("segmenter", config.seed))
    num_classes = len(settings.classes) + 1
    return UNETR(encoder, num_classes=num_classes, roi_size=settings.roi_size, feature_size=settings.feature_size)


def load_network(folder: Path, config: RunConfig, sha256: str, device: torch.device, ops: str) -> "UNETR":
    """The network that `simcrop eval segment` has kept.

    Args:
        folder: from `find_segmenter`.
        config, sha256: what its config.json says of the network and of the weights.
        device: where to put it.
        ops: as `train.ops`.

    Raises:
        CheckpointError: damaged.
    """
    _require_room(folder, config)
    with torch.device("meta"):
        require_segmenter(folder, new_network(config, VisionEncoder(config.model, REFERENCE)))
    network = new_network(config, VisionEncoder(config.model, select_ops(ops, device)))
    network.load_state_dict(segmenter_weights(folder, sha256))
    return network.to(device).eval()


def _require_room(folder: Path, config: RunConfig) -> None:
    """Refuse a region with more tokens than any; no file of weights holds the table of their places."""
    size, patch = config.segment.roi_size, config.model.patch_size
    if size is None or config.segment.spacing_mm is None or any(a % b for a, b in zip(size, patch, strict=True)):
        raise CheckpointError(f"{folder}: damaged (segment.roi_size {size} is no region of patches); {_AGAIN}")
    if prod(a // b for a, b in zip(size, patch, strict=True)) * config.model.embed_dim > _MOST_PLACES:
        raise CheckpointError(f"{folder}: damaged (segment.roi_size {size} has too many patches); {_AGAIN}")


def segment_scans(
    inputs: Sequence[Path],
    folder: Path,
    out: Path,
    form: TableFormat,
    options: ScanOptions,
    should_stop: Callable[[], bool],
    *,
    has_pages: bool = False,
) -> Applied:
    """Write the map of classes of every scan, in its own geometry, and the volume of each class in ml.

    Args:
        inputs: see `OwnScans`.
        folder: of the network, from `find_segmenter`.
        out: folder of the result; see `row_folder`.
        form: of the table.
        options: how scans are taken; a network takes one at a time.
        should_stop: asked after every scan.
        has_pages: whether each scan gets a page.

    Raises:
        CheckpointError: the network is damaged.
        ConfigError, DataError, Stopped: as `apply_to_scans` does.
    """
    from simcrop.adapters.evaluation.segmentation.results import Segmenter, volumes_ml, write_classes

    content = segmenter_config(folder)
    try:
        config = config_from_tree(content["config"], str(folder / "config.json"))
    except ConfigError as error:
        raise CheckpointError(f"{error} ({_AGAIN})") from error
    sha256, settings, device = content["sha256"], config.segment, choose_device(options.device)
    network = load_network(folder, config, sha256, device, "auto")
    classes, spacing = settings.classes, settings.spacing_mm
    assert spacing is not None
    segmenter = Segmenter(network, settings.overlap, TrainRecipe(), settings.foreground)
    about: dict[str, Any] = {
        "version": 1,
        "weights_sha256": sha256,
        "numbers": "volume of each class, ml",
        "segmentations": {str(number): name for number, name in enumerate(classes, 1)},
    }
    shard = options.shard
    rows = RowFolder(
        out, "predictions", about, columns=classes, form=form, shard=shard, has_maps=True, has_pages=has_pages
    )
    facts = about_prediction(str(folder), sha256, inputs, out)
    worth = worth_of(_WORTH, of_phantoms=config.data.source == "phantom")
    pages = PredictedPages(rows, "classes", "ml", 1, facts, worth)

    def compute(scans: Mapping[str, SeenScan]) -> Computed:
        found: list[list[float]] = []
        for name, scan in scans.items():
            assert isinstance(scan, WholeScan)
            predicted = segmenter(scan.voxels)
            write_classes(rows.map_file(name), on_grid(predicted, scan.affine, scan.grid), scan.grid)
            found.append(volumes_ml(predicted, len(classes), spacing))
            if has_pages:
                pages.write_organs(name, scan, predicted, found[-1])
        return np.asarray(found, np.float32), None

    show = partial(shown_whole, spacing_mm=spacing) if has_pages else None
    return apply_to_scans(inputs, Work(look_at_whole, (spacing, show), compute), rows, options, should_stop)
