"""One chest in memory, for computations that need a volume that looks like one."""

import torch
from jaxtyping import Int16
from torch import Tensor

from simcrop.adapters.formats.geometry import to_ras
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.adapters.sources.phantom.render import render
from simcrop.adapters.sources.phantom.specification import plan, sample_study
from simcrop.core.data.study import Volume


def example_volume(grid: Grid, seed: int = 0) -> Int16[Tensor, "H W D"]:
    """A phantom chest in HU, RAS, on a grid around its centre; the same for the same seed."""
    study = sample_study(plan(1, seed, 0.0)[0], seed)
    rendering = render(study, study.reconstructions[0])
    voxels, affine = to_ras(rendering.hu, rendering.affine, rendering.hu.dtype)
    resampled, _ = resample_volume(Volume(torch.from_numpy(voxels), torch.from_numpy(affine)), grid)
    return resampled
