"""Decoders: what each unpacks, and that none of them writes to the screen or invents pixels."""

import os
from pathlib import Path

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import RLELossless
from support.dicom_packing import EXTENDED, EXTENDED_FRAME, HTJ2K_FRAMES, STEPS

from simcrop.adapters.formats.dicom_codestream import Codestream
from simcrop.adapters.formats.dicom_decoders import UndecodableError, by_gdcm, by_openjpeg, by_pydicom, is_installed

SHAPE = (12, 10)


def rle(numbers: np.ndarray) -> bytes:
    options = {"rows": 12, "columns": 10, "samples_per_pixel": 1, "bits_allocated": 16, "bits_stored": 16}
    more = {"pixel_representation": 0, "number_of_frames": 1, "photometric_interpretation": "MONOCHROME2"}
    return get_encoder(RLELossless).encode(numbers.astype("<u2").tobytes(), **options, **more)


def test_rle_is_unpacked_and_bounded() -> None:
    frame = rle(STEPS)
    np.testing.assert_array_equal(by_pydicom(frame, SHAPE, 16), STEPS)
    assert encapsulate([frame])
    for damaged in (frame[:40], frame[:-8], frame + bytes(3000)):
        with pytest.raises(UndecodableError):
            by_pydicom(damaged, SHAPE, 16)


def test_the_jpeg_family_is_unpacked_and_silent(capfd: pytest.CaptureFixture[str]) -> None:
    stream = Codestream(*SHAPE, bits=12)
    assert np.abs(by_gdcm(EXTENDED_FRAME, EXTENDED, stream, 12) - STEPS).max() <= 1
    with pytest.raises(UndecodableError):
        by_gdcm(EXTENDED_FRAME[:-40] + EXTENDED_FRAME[-2:], EXTENDED, stream, 12)
    assert capfd.readouterr() == ("", "")


def test_jpeg_2000_is_unpacked_with_its_sign() -> None:
    np.testing.assert_array_equal(by_openjpeg(HTJ2K_FRAMES["unsigned"]), STEPS)
    np.testing.assert_array_equal(by_openjpeg(HTJ2K_FRAMES["signed"]), STEPS - 700)
    with pytest.raises(UndecodableError):
        by_openjpeg(HTJ2K_FRAMES["signed"][:150])


def test_a_process_without_standard_error_reads_too(tmp_path: Path) -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        found = by_gdcm(EXTENDED_FRAME, EXTENDED, Codestream(*SHAPE, bits=12), 12)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    assert found.shape == SHAPE


def test_packages_are_looked_up() -> None:
    assert is_installed("gdcm")
    assert not is_installed("no_such_decoder")
