"""A trained encoder as an object that takes scans as they come."""

from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.formats.scan import ScanLike, read_scan
from simcrop.compose.view import View
from simcrop.core.evaluation.readouts import TokenReadOut, read_out, rows_and_tokens
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics


class TrainedEncoder(VisionEncoder):
    """A vision encoder in eval mode that reads scans itself; `load_encoder` makes one.

    A scan is a path (any format, or a folder of DICOM slices), a nibabel image, or a pair of voxels in HU and their
    affine. It is read, judged, resampled and cut as the commands do it, so the numbers are theirs.

    Attributes:
        view: what it sees of a scan.
    """

    view: View

    def embed(self, scan: ScanLike, *, features: TokenReadOut = "encoder") -> Float[Tensor, "F"]:
        """The features of a scan, as `simcrop embed` writes them; float32 on the CPU.

        Args:
            scan: one; see the class.
            features: encoder, the mean of the patch tokens; max or layers have more beside it.

        Raises:
            DataError, InputError: see `read_scan`.
        """
        return features_of(self, self.view.volume(read_scan(scan)), features)


def features_of(encoder: VisionEncoder, volume: Tensor, name: TokenReadOut) -> Float[Tensor, "F"]:
    """A read-out of one volume [1, 1, H, W, D], on the CPU."""
    device = encoder.cls_token.device
    with numerics(device, TrainRecipe()):
        rows, _ = rows_and_tokens(encoder, volume.to(device))
    return read_out(rows, name, encoder.recipe)[0].float().cpu()
