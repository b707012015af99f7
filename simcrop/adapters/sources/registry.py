"""The data sets that `data.source` can name."""

from collections.abc import Mapping

from simcrop.adapters.config.outside import load_source
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
from simcrop.core.errors import ConfigError
from simcrop.core.ports import DataSet

SOURCES: Mapping[str, type[Source]] = {
    "phantom": PhantomSource,
    "manifest": ManifestSource,
    "ct_rate": CTRateSource,
    "radchestct": RadChestCTSource,
    "luna16": Luna16Source,
    "cc_ccii": CCCCIISource,
    "btcv": BTCVSource,
    "dicom": DicomSource,
}
"""`data.source` -> the class that reads it, of those that are built in."""


def source_class(name: str) -> type[Source]:
    """The class that reads a data set, built in or registered by a package.

    Raises:
        ConfigError: there is none of that name, or what a package registers is no subclass of `Source`.
    """
    if name in SOURCES:
        return SOURCES[name]
    found = load_source(name)
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise ConfigError(f"data.source: {name}: {found!r} is no subclass of simcrop.adapters.sources.base.Source")
    return found


def build_source(data: DataSettings, on_problem: OnProblem = refuse) -> DataSet:
    """The data set that `data` names; phantoms are made first where they are missing.

    Args:
        data: names it, with its declarations.
        on_problem: is told of volumes and rows that cannot be used.

    Raises:
        ConfigError: see `source_class`; or a name in `data.exclude` may be that of several studies.
        DataError: a table, file or folder is absent or wrong.
    """
    source = source_class(data.source).build(data, on_problem)
    if data.exclude is not None:
        source.leave_out_listed(data.exclude)
    return source
