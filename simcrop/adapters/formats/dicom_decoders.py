"""The packages that unpack frames of DICOM, each for what it alone can do under a permissive licence.

pydicom itself unpacks RLE, GDCM the JPEG family, OpenJPEG the JPEG 2000 family. They are imported when they are needed.
"""

import importlib
import os
import tempfile
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np

from simcrop.adapters.formats.dicom_codestream import Codestream

_STDERR = 2
_ONE_AT_A_TIME = threading.Lock()
_DAMAGE = "Corrupt JPEG data"
"""How libjpeg begins to say that pixels are missing; it goes on, and leaves them zero."""


class UndecodableError(ValueError):
    """A frame that its decoder refuses."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def by_pydicom(frame: bytes, shape: tuple[int, int], bits: int) -> np.ndarray:
    """Unpack RLE.

    Args:
        frame: the segments behind their header.
        shape: rows and columns.
        bits: allocated to a pixel.

    Returns:
        Unsigned numbers [row, column].

    Raises:
        UndecodableError: too few, or too many, bytes for these pixels.
    """
    from pydicom.encaps import encapsulate
    from pydicom.pixels import get_decoder
    from pydicom.uid import RLELossless

    declared = shape[0] * shape[1] * bits // 8
    if len(frame) > 2 * declared + 1024:  # RLE that is longer than its pixels by more than this is no RLE
        raise UndecodableError(f"{len(frame)} bytes for {declared} of pixels")
    options: dict[str, Any] = {
        "rows": shape[0],
        "columns": shape[1],
        "bits_allocated": bits,
        "bits_stored": bits,
        "pixel_representation": 0,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values, _ = get_decoder(RLELossless).as_array(encapsulate([frame]), index=0, raw=True, **options)
    except (RuntimeError, ValueError) as error:
        raise UndecodableError(str(error).rpartition("pydicom: ")[2]) from error
    return values


def by_gdcm(frame: bytes, syntax: str, stream: Codestream, bits: int) -> np.ndarray:
    """Unpack JPEG and JPEG-LS.

    Args:
        frame: the stream.
        syntax: UID of the transfer syntax.
        stream: what the stream's header says.
        bits: that count. GDCM itself writes 16 into the header of what it compresses with loss, whatever they are.

    Returns:
        Unsigned numbers [row, column].

    Raises:
        UndecodableError: damaged.
    """
    gdcm: Any = importlib.import_module("gdcm")
    dtype = np.dtype(np.uint8 if stream.bits <= 8 else "<u2")
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element, image = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010)), gdcm.Image()
    element.SetValue(fragments.__ref__())
    image.SetNumberOfDimensions(2)
    image.SetDimensions((stream.columns, stream.rows, 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation
    image.SetPhotometricInterpretation(kind(kind.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 * dtype.itemsize, bits, bits - 1, 0))
    with _heard() as told:
        text = image.GetBuffer()
    data = b"" if text is None else text.encode("utf-8", "surrogateescape")
    is_whole = len(data) == stream.rows * stream.columns * dtype.itemsize
    if not is_whole or any(line.startswith(_DAMAGE) for line in told):
        raise UndecodableError("the stream is damaged")
    return np.frombuffer(data, dtype).reshape(stream.rows, stream.columns)


def by_openjpeg(frame: bytes) -> np.ndarray:
    """Unpack JPEG 2000, High-Throughput JPEG 2000 among it.

    Args:
        frame: the stream.

    Returns:
        Numbers [row, column], signed as the stream says.

    Raises:
        UndecodableError: damaged.
    """
    openjpeg: Any = importlib.import_module("openjpeg")
    try:
        with _heard():
            return openjpeg.decode(frame)
    except (RuntimeError, ValueError) as error:
        raise UndecodableError("the stream is damaged") from error


@contextmanager
def _heard() -> Generator[list[str]]:
    """Lines that C code writes to standard error meanwhile: the one place where libjpeg says that it invents pixels."""
    told: list[str] = []
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as file:
        try:
            kept = os.dup(_STDERR)
        except OSError:  # of a process without standard error
            yield told
            return
        try:
            os.dup2(file.fileno(), _STDERR)
            yield told
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)
            file.seek(0)
            told += file.read().decode("utf-8", "replace").splitlines()
