"""Which class reads which data set without reports, and which settings it takes."""

from collections.abc import Callable, Mapping

from simcrop.adapters.btcv import BTCVSource
from simcrop.adapters.cc_ccii import CCCCIISource
from simcrop.adapters.config import DataSettings
from simcrop.adapters.dicom import DicomSource
from simcrop.adapters.luna16 import Luna16Source
from simcrop.adapters.problems import Complain
from simcrop.adapters.radchestct import RadChestCTSource
from simcrop.adapters.unreported import UnreportedSource


def unreported_source(data: DataSettings, complain: Complain) -> UnreportedSource:
    """The data set that `data` names, one of `UNREPORTED`.

    Args:
        data: names it, with its declarations.
        complain: is told of volumes and rows that cannot be used.

    Raises:
        DataError: the folder, or a table in it, is absent or wrong.
    """
    return UNREPORTED[data.source](data, complain)


def _radchestct(data: DataSettings, complain: Complain) -> UnreportedSource:
    assert data.root is not None
    return RadChestCTSource(data.root, held_out=data.held_out_part, quarantine=data.quarantine, complain=complain)


def _luna16(data: DataSettings, complain: Complain) -> UnreportedSource:
    assert data.root is not None
    return Luna16Source(data.root, quarantine=data.quarantine, complain=complain)


def _cc_ccii(data: DataSettings, complain: Complain) -> UnreportedSource:
    assert data.root is not None
    assert data.grey_scaling is not None
    assert data.spacing_mm is not None
    slope, intercept = data.grey_scaling
    return CCCCIISource(
        data.root,
        slope=slope,
        intercept=intercept,
        spacing_mm=data.spacing_mm,
        quarantine=data.quarantine,
        complain=complain,
    )


def _btcv(data: DataSettings, complain: Complain) -> UnreportedSource:
    assert data.root is not None
    return BTCVSource(data.root, padding_value=data.padding_value, quarantine=data.quarantine, complain=complain)


def _dicom(data: DataSettings, complain: Complain) -> UnreportedSource:
    assert data.root is not None
    return DicomSource(data.root, padding_value=data.padding_value, quarantine=data.quarantine, complain=complain)


UNREPORTED: Mapping[str, Callable[[DataSettings, Complain], UnreportedSource]] = {
    "radchestct": _radchestct,
    "luna16": _luna16,
    "cc_ccii": _cc_ccii,
    "btcv": _btcv,
    "dicom": _dicom,
}
"""`data.source` -> how to build it."""
