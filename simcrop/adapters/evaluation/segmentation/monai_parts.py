"""Parts of MONAI, an optional extra: the one place that imports it."""

from simcrop.core.errors import BackendError

try:
    from monai.inferers.utils import sliding_window_inference
    from monai.losses.dice import DiceCELoss
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.networks.blocks.dynunet_block import UnetOutBlock, UnetResBlock
    from monai.networks.blocks.unetr_block import UnetrBasicBlock, UnetrPrUpBlock, UnetrUpBlock
    from monai.transforms.croppad.array import RandCropByPosNegLabel
except ImportError as error:
    raise BackendError(f"segmentation needs MONAI, and {error.name} is absent; pip install 'simcrop[monai]'") from error

__all__ = [
    "DiceCELoss",
    "RandCropByPosNegLabel",
    "UnetOutBlock",
    "UnetResBlock",
    "UnetrBasicBlock",
    "UnetrPrUpBlock",
    "UnetrUpBlock",
    "compute_hausdorff_distance",
    "sliding_window_inference",
]
