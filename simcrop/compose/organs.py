"""The masks of organs of a run, on the grid of its prepared volumes."""

import logging
from collections.abc import Sequence

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.loading.organs import PreparedOrgans, prepare_organs
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.sources.truth_folders import organ_source
from simcrop.adapters.system.pool import usable_cores
from simcrop.adapters.system.progress import counted
from simcrop.core.data.study import Study
from simcrop.core.errors import DataError
from simcrop.core.ports import DataSet

_log = logging.getLogger("simcrop")


def organs_of(
    config: RunConfig, source: DataSet, prepared: PreparedVolumes, studies: Sequence[Study], *, is_all: bool = True
) -> PreparedOrgans:
    """Where the organs of `objectives.organ_shares` are in the volumes of some studies, prepared where they are not.

    Args:
        config: of the run.
        source: of the volumes.
        prepared: the volumes.
        studies: whose masks are wanted.
        is_all: whether these are all studies of the run, some of which must have masks.

    Raises:
        DataError: masks are damaged, or no study has any.
    """
    data, names = config.data, [name for study in studies for name in study.reconstructions]
    with counted(f"masks of organs prepared in {data.prepared}") as progress:
        organs = prepare_organs(
            source,
            organ_source(source, data.organ_masks),
            config.objectives.organ_shares.organs,
            prepared,
            names,
            cache=data.prepared,
            storage=data.storage,
            workers=usable_cores(),
            progress=progress,
        )
    if is_all and not organs.names:
        raise DataError(
            "objectives.organ_shares: no volume has a mask of any class; name the folder of the masks by "
            "data.organ_masks, other masks by objectives.organ_shares.classes, or set objectives.organ_shares.weight=0"
        )
    _log.info("masks of organs: %d of %d volumes have some", len(organs.names), len(names))
    return organs
