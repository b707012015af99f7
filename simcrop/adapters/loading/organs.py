"""Masks of organs on the grid of the prepared volumes, made once and kept, for the shares of organs in patches.

    CACHE/organs_of_KEY/            arrays as `kept_arrays` keeps them: bit c of a voxel is set where class c is
    CACHE/organs_of_KEY_blosc2/     the same, compressed to a few hundredths

KEY is a hash of all that decides them but the files themselves: the grid, the data set, the folder of the masks, the
classes, and `VERSION`. A line of the index has the stamps of the volume's file and of the masks' files.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from simcrop.adapters.formats.geometry import grids_meet
from simcrop.adapters.loading.kept_arrays import KeptArrays, new_index
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.resample import resample_mask
from simcrop.adapters.loading.storage import StorageName, storage_named
from simcrop.adapters.problems.verdicts import file_stamps, source_stamp
from simcrop.adapters.system.cache_folder import append_row, key_of, make_cache_folder
from simcrop.adapters.system.pool import Progress, run_all
from simcrop.core.data.organ_shares import class_bits
from simcrop.core.data.problems import bad_file
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet, OrganSource

VERSION = 1
"""Goes up when the same files would give other arrays."""
Classes = Mapping[str, Sequence[str]]
"""Name of a class -> the organs that it is made of."""


class PreparedOrgans(KeptArrays):
    """The classes of organs in the prepared volumes of a data set; `core.ports.OrganBoxes`.

    Attributes:
        source: of the masks.
        classes: that are told apart, in the order of the bits.
        prepared: the volumes.
        names: of those that have masks of some class.
    """

    air = 0

    def __init__(
        self,
        source: OrganSource,
        classes: Classes,
        prepared: PreparedVolumes,
        cache: Path,
        storage: StorageName = "raw",
        names: Collection[str] = (),
    ) -> None:
        """
        Args:
            source, classes, prepared: see the attributes.
            cache: folder of all that is prepared.
            storage: how the arrays are kept.
            names: of the volumes whose arrays are known to be those of their present masks; no others are read.
        """
        self.source, self.classes, self.prepared = source, classes, prepared
        self.names = frozenset(names)
        kept = storage_named(storage)
        listed = [[name, sorted(organs)] for name, organs in classes.items()]
        key = key_of([VERSION, prepared.folder.name, source.identity, listed])
        super().__init__(cache / f"organs_of_{key}{kept.folder_suffix}", prepared.size, kept)

    def known(self, reconstruction: str) -> Sequence[bool]:
        """Whether a volume has masks of each class; of a class that is made of several, any of them is enough."""
        if reconstruction not in self.names:
            return [False] * len(self.classes)
        known: list[bool] = self._row(reconstruction)["known"]
        return known

    def masks(self, reconstruction: str) -> list[list[str]]:
        """Of each class, the names of the masks that a volume has."""
        organs = self.source.organs(reconstruction)
        return [[organs[name] for name in wanted if name in organs] for wanted in self.classes.values()]

    def make(self, reconstruction: str) -> Bool[Tensor, "C H W D"]:
        """The classes of a volume on the prepared grid, from its masks.

        Raises:
            DataError: one is damaged, or lies elsewhere.
        """
        affine = self.prepared.affine(reconstruction)
        made = torch.zeros((len(self.classes), *self.size), dtype=torch.bool)
        wanted = [(number, name) for number, names in enumerate(self.masks(reconstruction)) for name in names]
        masks = self.source.read_masks(reconstruction, [name for _, name in wanted])
        for (number, name), mask in zip(wanted, masks, strict=True):
            if not grids_meet(affine.numpy(), self.size, mask.affine.double().numpy(), mask.voxels.shape):
                raise bad_file(
                    f"{reconstruction}: {name}", "masks.elsewhere", "lies wholly outside the prepared volume"
                )
            made[number] |= resample_mask(mask, affine, self.size)
        return made


def prepare_organs(
    data_set: DataSet,
    source: OrganSource,
    classes: Classes,
    prepared: PreparedVolumes,
    names: Sequence[str],
    *,
    cache: Path,
    storage: StorageName,
    workers: int,
    progress: Progress,
) -> PreparedOrgans:
    """Make the arrays of what has masks, where that is not done from the present files.

    Args:
        data_set: of the volumes.
        source, classes, prepared, cache, storage: as for `PreparedOrgans`.
        names: of volumes that are prepared.
        workers: processes, each with one thread.
        progress: told of volumes done and in all, of those that have masks.

    Raises:
        DataError: after the last one, where masks are damaged; or the cache cannot be written.
    """
    organs = PreparedOrgans(source, classes, prepared, cache, storage)
    stamps = {name: stamp for name in names if (stamp := _stamp(data_set, organs, name)) is not None}
    stale = [name for name, stamp in stamps.items() if not organs.is_current(name, stamp)]
    num_current = len(stamps) - len(stale)
    progress(num_current, len(stamps))
    if stale:
        make_cache_folder(organs.folder)
    index, bad = new_index(organs.folder), list[str]()
    for done, (name, result) in enumerate(run_all(_make_one, organs, stale, workers), num_current + 1):
        if isinstance(result, str):
            bad.append(result)
        else:
            append_row(index, {"name": name, "source": stamps[name], **result})
        progress(done, len(stamps))
    if bad:
        more = f" (and masks of {len(bad) - 1} more volumes)" if len(bad) > 1 else ""
        raise DataError(f"{min(bad)}{more}; or take the mask away: what has none teaches nothing of its class")
    organs = PreparedOrgans(source, classes, prepared, cache, storage, stamps)
    for name in filter(organs.is_made_often, stamps):
        organs.is_current(name, stamps[name])  # and from now on they know by which line
    return organs


def _stamp(data_set: DataSet, organs: PreparedOrgans, name: str) -> list[Any] | None:
    """What an array is made from; None where there are no masks. The volume's file says where the grid lies."""
    masks = organs.masks(name)
    if not any(masks):
        return None
    return [source_stamp(data_set, name), file_stamps(organs.source.organ_files(name)), masks]


def _make_one(organs: PreparedOrgans, name: str) -> dict[str, Any] | str:
    """Write one array, whole or not at all; its line, or what is wrong with the masks."""
    known = [bool(masks) for masks in organs.masks(name)]
    try:
        made = organs.make(name)
    except DataError as error:
        return str(error)
    return {"known": known, **organs.write(name, class_bits(made).numpy())}
