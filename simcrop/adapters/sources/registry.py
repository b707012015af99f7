"""The data sets that `data.source` can name."""

from collections.abc import Mapping

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.sources.base import Source
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.adapters.sources.cc_ccii import CCCCIISource
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.dicom_folders import DicomSource
from simcrop.adapters.sources.luna16 import Luna16Source
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.phantom.source import PhantomSource
from simcrop.adapters.sources.radchestct import RadChestCTSource
from simcrop.core.data.problems import OnProblem, refuse
from simcrop.core.ports import DataSet

SOURCES: Mapping[str, type[Source]] = {
    "phantom": PhantomSource,
    "ct_rate": CTRateSource,
    "manifest": ManifestSource,
    "radchestct": RadChestCTSource,
    "luna16": Luna16Source,
    "cc_ccii": CCCCIISource,
    "btcv": BTCVSource,
    "dicom": DicomSource,
}
"""`data.source` -> the class that reads it."""


def build_source(data: DataSettings, on_problem: OnProblem = refuse) -> DataSet:
    """The data set that `data` names; phantoms are made first where they are missing.

    Args:
        data: names it, with its declarations.
        on_problem: is told of volumes and rows that cannot be used.

    Raises:
        DataError: a table, file or folder is absent or wrong.
    """
    return SOURCES[data.source].build(data, on_problem)
