"""Steps of a MONAI bundle beyond MONAI: find scans, read one, and write the features of all."""

import csv
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config.type_definitions import KeysCollection
from monai.transforms.transform import MapTransform

from .scan import model_input
from .vision import VisionEncoder

_SUFFIXES = (".nii", ".nii.gz")
SCAN = "image_path"
"""Key under which the path of a scan is kept beside its voxels."""


def scan_items(folder: str) -> list[dict[str, str]]:
    """The NIfTI files in a folder and below, by name: items of a MONAI dataset, `{"image": path}`.

    Raises:
        ValueError: there is none.
    """
    found = sorted(path for path in Path(folder).rglob("*") if path.name.endswith(_SUFFIXES) and path.is_file())
    if not found:
        raise ValueError(f"dataset_dir: no NIfTI file lies in {folder}; name another with --dataset_dir")
    return [{"image": str(path)} for path in found]


class ReadScand(MapTransform):
    """Path of a NIfTI file -> [1, H, W, D] in HU as the encoder was trained to see it; the path stays as `image_path`.

    Args:
        keys: of paths.
        spacing_mm: of the grid that a scan is resampled onto, around its centre.
        grid_size: voxels of that grid.
        volume_size: voxels of the centre that is cut out of it; what a scan does not fill is air.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spacing_mm: Sequence[float],
        grid_size: Sequence[int],
        volume_size: Sequence[int],
    ) -> None:
        super().__init__(keys)
        self.sizes: dict[str, Any] = {
            "spacing_mm": spacing_mm,
            "grid_size": grid_size,
            "volume_size": volume_size,
        }

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """An item with voxels in place of paths."""
        item = dict(data)
        for key in self.key_iterator(item):
            item[SCAN] = str(item[key])
            item[key] = model_input(item[key], **self.sizes)[None]
        return item


@torch.no_grad()
def write_features(
    network: VisionEncoder,
    batches: Iterable[Mapping[str, Any]],
    *,
    device: torch.device,
    dataset_dir: str,
    output_dir: str,
    save_tokens: bool,
) -> None:
    """Write features.csv: a row a scan, its path below `dataset_dir` and the mean of its patch tokens.

    The tokens are those of the last block before the final LayerNorm, as probes read them.

    Args:
        network: in eval mode, on the device.
        batches: of `ReadScand`.
        device: that the network is on.
        dataset_dir: folder that the scans lie in.
        output_dir: folder to write; made if absent.
        save_tokens: whether to write tokens/SCAN.npz too: `tokens` [N+1, E] after the final LayerNorm, class token
            first.
    """
    out = Path(output_dir)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "features.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        width = network.norm.normalized_shape[0]
        table.writerow(["scan", *(f"feature_{number}" for number in range(width))])
        for batch in batches:
            tokens = network.encode(torch.as_tensor(batch["image"]).to(device), normalized=False)
            features, normed = tokens[:, 1:].float().mean(1).cpu().numpy(), network.norm(tokens).float().cpu().numpy()
            for number, path in enumerate(batch[SCAN]):
                name = Path(path).relative_to(dataset_dir).as_posix()
                table.writerow([name, *map(str, features[number])])
                if save_tokens:
                    target = out / "tokens" / f"{name}.npz"
                    target.parent.mkdir(parents=True, exist_ok=True)
                    np.savez(target, tokens=normed[number])
    print(f"wrote {out / 'features.csv'}")
