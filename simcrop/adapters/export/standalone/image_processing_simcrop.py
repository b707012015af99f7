"""From files to what a SimCroP model reads, for transformers."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from transformers import BatchFeature
from transformers.image_processing_base import ImageProcessingMixin

from .scan import model_input


class SimcropImageProcessor(ImageProcessingMixin):
    """Reads CT scans: HU clipped to what scanners tell apart, RAS, resampled to the model's spacing, cut or padded.

    Args:
        spacing_mm: of the model's voxels along x, y, z.
        grid_size: voxels of the grid that a scan is resampled onto, around its centre.
        volume_size: voxels of the centre that is cut out of it; what a scan does not fill is air.
    """

    model_input_names = ["pixel_values"]  # noqa: RUF012

    def __init__(
        self,
        spacing_mm: Sequence[float] = (3.5, 3.5, 7.0),
        grid_size: Sequence[int] = (96, 96, 48),
        volume_size: Sequence[int] = (96, 96, 48),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spacing_mm, self.grid_size, self.volume_size = list(spacing_mm), list(grid_size), list(volume_size)

    def __call__(self, images: Any, return_tensors: str | None = "pt", **kwargs: Any) -> BatchFeature:
        """Same as `preprocess`."""
        return self.preprocess(images, return_tensors, **kwargs)

    def preprocess(self, images: Any, return_tensors: str | None = "pt", **kwargs: Any) -> BatchFeature:
        """`pixel_values` [B, 1, H, W, D]: whole HU, float32.

        Args:
            images: a scan or a list of scans: path of a NIfTI file, nibabel image, or (array in HU, affine).
            return_tensors: pt or np.
            kwargs: none is known.

        Raises:
            ValueError: a scan is no 3D volume of finite numbers with an affine.
            TypeError: another argument.
        """
        if kwargs:
            raise TypeError(f"preprocess: does not know {', '.join(kwargs)}; sizes belong to the processor itself")
        scans = images if isinstance(images, list) else [images]
        read = partial(model_input, spacing_mm=self.spacing_mm, grid_size=self.grid_size, volume_size=self.volume_size)
        volumes = torch.stack([read(scan) for scan in scans])[:, None]
        return BatchFeature({"pixel_values": volumes.numpy()}, tensor_type=return_tensors)
