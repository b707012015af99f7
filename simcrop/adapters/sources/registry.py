"""Which class reads which data set without reports, and which settings it takes."""

from collections.abc import Callable, Mapping

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.sources.btcv import BTCVSource
from simcrop.adapters.sources.cc_ccii import CCCCIISource
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.sources.dicom_folders import DicomSource
from simcrop.adapters.sources.luna16 import Luna16Source
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.adapters.sources.phantom import write_phantoms
from simcrop.adapters.sources.protocol import OrganSource
from simcrop.adapters.sources.radchestct import RadChestCTSource
from simcrop.adapters.sources.without_reports import UnreportedSource
from simcrop.adapters.system.progress import counted
from simcrop.core.data.problems import OnProblem, refuse


def build_source(data: DataSettings, on_problem: OnProblem = refuse) -> OrganSource:
    """The data set that `data` names; phantoms are made first where they are missing.

    Args:
        data: names it, with its declarations.
        on_problem: is told of rows that cannot be used.

    Raises:
        DataError: a table, file or folder is absent or wrong.
    """
    if data.source == "manifest":
        assert data.manifest is not None
        return ManifestSource(
            data.manifest, padding_value=data.padding_value, quarantine=data.quarantine, on_problem=on_problem
        )
    assert data.root is not None
    if data.source == "phantom":
        with counted(f"phantom chests in {data.root}") as progress:
            write_phantoms(
                data.root,
                num_cases=data.cases,
                seed=data.phantom_seed,
                validation_fraction=data.validation_fraction,
                progress=progress,
            )
    if data.source in UNREPORTED:
        return unreported_source(data, on_problem)
    return CTRateSource(
        data.root, hu=data.hu, padding_value=data.padding_value, quarantine=data.quarantine, on_problem=on_problem
    )


def unreported_source(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
    """The data set that `data` names, one of `UNREPORTED`.

    Args:
        data: names it, with its declarations.
        on_problem: is told of volumes and rows that cannot be used.

    Raises:
        DataError: the folder, or a table in it, is absent or wrong.
    """
    return UNREPORTED[data.source](data, on_problem)


def _radchestct(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
    assert data.root is not None
    return RadChestCTSource(data.root, held_out=data.held_out_part, quarantine=data.quarantine, on_problem=on_problem)


def _luna16(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
    assert data.root is not None
    return Luna16Source(data.root, quarantine=data.quarantine, on_problem=on_problem)


def _cc_ccii(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
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
        on_problem=on_problem,
    )


def _btcv(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
    assert data.root is not None
    return BTCVSource(data.root, padding_value=data.padding_value, quarantine=data.quarantine, on_problem=on_problem)


def _dicom(data: DataSettings, on_problem: OnProblem) -> UnreportedSource:
    assert data.root is not None
    return DicomSource(data.root, padding_value=data.padding_value, quarantine=data.quarantine, on_problem=on_problem)


UNREPORTED: Mapping[str, Callable[[DataSettings, OnProblem], UnreportedSource]] = {
    "radchestct": _radchestct,
    "luna16": _luna16,
    "cc_ccii": _cc_ccii,
    "btcv": _btcv,
    "dicom": _dicom,
}
"""`data.source` -> how to build it."""
