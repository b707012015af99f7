"""Compresses the pixels of DICOM slices in every way that is read, by the encoders that are at hand."""

import base64
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import openjpeg.utils
import pydicom
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless

from support.dicom_series import Change

JPEG = "1.2.840.10008.1.2.4."
BASELINE, EXTENDED, LOSSLESS_14, LOSSLESS_SV1 = f"{JPEG}50", f"{JPEG}51", f"{JPEG}57", f"{JPEG}70"
JPEG_LS, JPEG_LS_NEAR, JPEG_2000, JPEG_2000_LOSSY = f"{JPEG}80", f"{JPEG}81", f"{JPEG}90", f"{JPEG}91"
HTJ2K, HTJ2K_RPCL, HTJ2K_LOSSY, MPEG_2 = f"{JPEG}201", f"{JPEG}202", f"{JPEG}203", f"{JPEG}100"
LOSSLESS = (RLELossless, LOSSLESS_14, LOSSLESS_SV1, JPEG_LS, JPEG_2000)
"""Those that are encoded here; of HTJ2K there is no encoder at hand, but `HTJ2K_FRAMES`."""

STEPS = np.add.outer(np.arange(12) * 97, np.arange(10) * 31).astype(np.int32)
"""[12, 10] the numbers behind `HTJ2K_FRAMES` and `EXTENDED_FRAME`, from 0 to 1346."""


def packed(dataset: Any, syntax: str) -> bytes:
    """The frame of an uncompressed slice, compressed."""
    encode = _by_gdcm
    if syntax == RLELossless:
        encode = _by_pydicom
    elif syntax in {JPEG_2000, JPEG_2000_LOSSY}:
        encode = _by_openjpeg
    return encode(dataset, syntax)


def packing(syntax: str, damage: Callable[[bytes], bytes] = bytes) -> Change:
    """A change to every slice: its pixels are compressed, then damaged."""

    def change(dataset: Any, number: int) -> None:
        pack_as(dataset, syntax, damage(packed(dataset, syntax)))

    return change


def pack_as(dataset: Any, syntax: str, *frames: bytes) -> None:
    """Put compressed frames into a data set."""
    dataset.PixelData = encapsulate(list(frames))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = syntax


def _by_pydicom(dataset: Any, syntax: str) -> bytes:
    return get_encoder(RLELossless).encode(dataset)


def _by_openjpeg(dataset: Any, syntax: str) -> bytes:
    numbers = np.frombuffer(dataset.PixelData, f"<{'ui'[dataset.PixelRepresentation]}{dataset.BitsAllocated // 8}")
    ratios = {"compression_ratios": [5]} if syntax == JPEG_2000_LOSSY else {}
    pixels = numbers.reshape(dataset.Rows, dataset.Columns)
    return bytes(openjpeg.utils.encode_array(pixels, bits_stored=dataset.BitsStored, **ratios))


def _by_gdcm(dataset: Any, syntax: str) -> bytes:
    """JPEG and JPEG-LS, from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.dcm"
        dataset.save_as(path, enforce_file_format=True)
        reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
        reader.SetFileName(str(path))
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
        change.SetInput(reader.GetImage())
        codec = gdcm.JPEGCodec()
        if syntax == EXTENDED:
            codec.SetLossless(False)
            codec.SetQuality(95)
            change.SetUserCodec(codec)
        assert change.Change()
        writer.SetFileName(str(path))
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        assert writer.Write()
        written: Any = pydicom.dcmread(path)
        return next(pydicom.encaps.generate_frames(written.PixelData, number_of_frames=1))


def _frame(text: str) -> bytes:
    return base64.b64decode(text)


HTJ2K_FRAMES: Mapping[str, bytes] = {
    "unsigned": _frame(
        "/0//UQApQAAAAAAKAAAADAAAAAAAAAAAAAAACgAAAAwAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQ"
        "kJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAG4AAf+TwAAm3/sFB3QAAMAAEsAAEwD6AYd0AHz+Aod0AMAAEcAA"
        "EwArcwB1/QACNADAABJAABVAKOJ0ALJly/7AMYH+tgDAACrgABWgPOc859gv1+ALdwDAQCAQ+PQIRiEB7LgA/9k="
    ),
    "signed": _frame(
        "/0//UQApQAAAAAAKAAAADAAAAAAAAAAAAAAACgAAAAwAAAAAAAAAAAABjwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCIkJCQkJCQ"
        "kJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAG0AAf+TwAAlVwGHdAAAwAASwAATAPoBh3QAfP4Ch3QAwAARwAAT"
        "ACtzAHX9AAI0AMAAEkAAFUAo4nQAsmXL/sAxgf62AMAAKuAAFaA85zzn2C/X4At3AMBAIBD49AhGIQHsuAD/2Q=="
    ),
    "lossy": _frame(
        "/0//UQApQAAAAAAKAAAADAAAAAAAAAAAAAAACgAAAAwAAAAAAAAAAAABDwEB/1AACAACAAAAKv9SAAwAAgABAAUEBEAA/1wAIyK3GLbqtuq2"
        "vK8ArwCu4qdMp0ynZJADkAOQRpfSl9KXYf9kABcAAU9wZW5KUEggVmVyIDAuMjYuMy7/kAAKAAAAAACZAAH/k8AAATivXOEIB3QAAMAAAmgA"
        "AEzQ+gMHdADw5QQHdADAAATQAAEw5/kAC3QAhQsAYjQAwAAVUAAFpK5bFK7iA5hCtQCOvCPvyEMLDdoAkQvMAAF4uQDAABasAAFsgMwMpeSU"
        "KCWnROkf8r9/yvwD3lt7AK5zzoVMQ0xDppBpiOk4IPxCApugHpJqPAD/2Q=="
    ),
}
"""`STEPS` as uint16, `STEPS` - 700 as int16, and `STEPS` with a loss of at most 2; as OpenJPH 0.26 compresses them."""

EXTENDED_FRAME = _frame(
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggL"
    "DAsKDAkKCgr/wQALDAAMAAoBAREA/8QAFgABAQEAAAAAAAAAAAAAAAAACgsN/8QAKBAAAAIIBAcAAAAAAAAAAAAAAAMBBQYJCihFYgtDU2MW"
    "JSY1UmFx/9oACAEBAAA/AMb/AIcrBF+wyjadD+WhTTKYIv0srZRqeTQ7EWi9DDlQnbk7kMsunnk+tkKaZSE7cncLK2WWnk55PgjZH//Z"
)
"""`STEPS` in 12 bits with a loss of at most 1, as libjpeg-turbo 3 compresses them."""
