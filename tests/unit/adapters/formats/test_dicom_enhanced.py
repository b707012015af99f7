"""Enhanced CT: one file is one volume, as its functional groups lay it out; what is none is refused by its cause."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
)
from support.dicom_enhanced import KIND, MEASURES, ORIENTATION, POSITION, RESCALE, SHARED, Macros, at, write_enhanced
from support.dicom_packing import EXTENDED, JPEG_LS, LOSSLESS_SV1
from support.dicom_series import HU, VOXELS, write_series

from simcrop.adapters.formats.dicom_enhanced import Frame, opened_enhanced
from simcrop.adapters.formats.opening import inspect_volume, read_volume
from simcrop.core.data.problems import BadFileError, Problem, refuse
from simcrop.core.data.study import Volume

SHUFFLED = (3, 0, 9, 1, 7, 2, 8, 4, 6, 5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "series" / "IM0001.dcm"


def is_the_series(volume: Volume) -> bool:
    return bool((volume.voxels.numpy()[::-1, ::-1] == VOXELS).all()) and volume.spacing_mm == (3, 2, 5)


def notes(path: Path) -> list[str]:
    """Codes of what is told of a volume that can be read; these slices are small beside a chest."""
    told: list[Problem] = []
    assert inspect_volume(path, told.append, root=path.parent)
    assert all(found.severity == "note" for found in told)
    return [found.code for found in told if found.code != "content.field_of_view"]


def refusal(path: Path) -> Problem:
    with pytest.raises(BadFileError) as refused:
        read_volume(path)
    told: list[Problem] = []
    inspect_volume(path, told.append, root=path.parent)
    assert refused.value.problem.code in [found.code for found in told]
    return refused.value.problem


def test_file_and_folder_are_the_volume_of_the_slices(file: Path, tmp_path: Path) -> None:
    write_enhanced(file, order=SHUFFLED)
    write_series(tmp_path / "slices")
    slices = read_volume(tmp_path / "slices")
    for path in (file, file.parent):
        volume = read_volume(path)
        assert is_the_series(volume)
        np.testing.assert_array_equal(volume.affine, slices.affine)
        assert notes(path) == []


def test_frames_are_read_one_by_one(file: Path) -> None:
    write_enhanced(file, order=SHUFFLED)
    with opened_enhanced(file, file.parent, None, refuse) as stored:
        assert (stored.shape, stored.order) == (HU.shape, "C")
        parts = list(stored.chunks)
    assert [part.size for part in parts] == [HU[0].size] * len(HU)
    np.testing.assert_array_equal(np.concatenate(parts).reshape(HU.shape), HU)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian, RLELossless, LOSSLESS_SV1]
)
def test_every_transfer_syntax_is_read(file: Path, syntax: str) -> None:
    write_enhanced(file, order=SHUFFLED, syntax=syntax)
    assert is_the_series(read_volume(file))


def test_what_an_archive_converted_is_read_and_loss_is_noted(file: Path) -> None:
    def converted(dataset: Any) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = LegacyConvertedEnhancedCTImageStorage
        dataset.LossyImageCompression = "01"

    write_enhanced(file, change=converted, syntax=JPEG_LS)
    assert is_the_series(read_volume(file))
    assert notes(file) == ["content.lossy"]


def test_what_each_frame_says_of_itself_goes_before_what_all_share(file: Path) -> None:
    def own(number: int) -> Macros:
        rescale = {"RescaleSlope": 1, "RescaleIntercept": -1024 + number}
        return {**at(number), RESCALE: rescale, ORIENTATION: SHARED[ORIENTATION], MEASURES: SHARED[MEASURES]}

    wrong: Macros = {
        RESCALE: {"RescaleSlope": 3, "RescaleIntercept": 5},
        ORIENTATION: {"ImageOrientationPatient": [1, 0, 0, 0, 0, 1]},
        MEASURES: {"PixelSpacing": [7, 8]},
    }
    write_enhanced(file, own=own, shared=wrong)
    volume = read_volume(file)
    np.testing.assert_array_equal(volume.voxels.numpy()[::-1, ::-1], VOXELS + np.arange(10))
    assert volume.spacing_mm == (3, 2, 5)


def test_a_frame_is_searched_from_its_own_groups_to_the_file() -> None:
    own, shared, dataset, item = Dataset(), Dataset(), Dataset(), Dataset()
    item.PixelSpacing = [1, 2]
    shared.PixelMeasuresSequence = [item]
    own.PixelMeasuresSequence = []
    dataset.Rows = 5
    frame = Frame(own, shared, dataset)
    assert (list(frame.get("PixelSpacing")), frame.get("Rows"), frame.get("Columns", 7)) == ([1, 2], 5, 7)


def test_a_coronal_volume_with_falling_positions(file: Path) -> None:
    def own(number: int) -> Macros:
        return {POSITION: {"ImagePositionPatient": [-100, 40 - 5 * number, 90]}}

    shared = {**SHARED, ORIENTATION: {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}}
    write_enhanced(file, own=own, shared=shared)
    volume = read_volume(file)
    assert volume.spacing_mm == (3, 5, 2)
    # Slices run to the front, as y does in RAS; rows to the feet, columns to the left.
    np.testing.assert_array_equal(volume.voxels.numpy()[::-1, :, ::-1], HU.transpose(2, 0, 1))


def _set(**values: Any) -> Callable[[Any], object]:
    def change(dataset: Any) -> None:
        for name, value in values.items():
            delattr(dataset, name) if value is None else setattr(dataset, name, value)

    return change


def _third(macro: str, **values: Any) -> Callable[[int], Macros]:
    """Groups of which the third frame's macro differs."""

    def own(number: int) -> Macros:
        macros = {**at(number)}
        return {**macros, macro: values} if number == 2 else macros

    return own


@pytest.mark.parametrize(
    ("given", "code", "says"),
    [
        ({"change": _set(NumberOfFrames=12)}, "header.invalid", "declares 12 frames, and describes 10"),
        ({"change": _set(NumberOfFrames=2**31 - 1)}, "header.invalid", "declares 2147483647 frames"),
        ({"change": _set(PerFrameFunctionalGroupsSequence=None)}, "header.invalid", "describes 0"),
        ({"change": _set(PixelData=bytes(4400))}, "container.truncated", "declares 4480"),
        ({"change": _set(PixelData=bytes(4480 + 448))}, "container.length", "holds 4928 bytes"),
        ({"change": _set(PixelData=None)}, "container.truncated", "of pixels"),
        ({"change": _set(PixelData=None, Rows=1, Columns=1)}, "header.invalid", "has no PixelData"),
        ({"change": _set(Rows=60000, Columns=60000)}, "header.dims_huge", "above the limit"),
        ({"change": _set(Rows=20000)}, "container.truncated", "of pixels"),
        ({"syntax": RLELossless, "change": _set(Rows=4096, Columns=4096)}, "container.bomb", "claims to hold"),
        ({"syntax": RLELossless, "change": _set(Rows=60000)}, "container.corrupt", "cannot be unpacked"),
        ({"change": _set(Rows=0)}, "header.dims", "0 rows"),
        ({"change": _set(BitsAllocated=1)}, "header.datatype", "1 for a pixel"),
        ({"change": _set(SharedFunctionalGroupsSequence=None)}, "header.invalid", "has no ImageOrientationPatient"),
        ({"shared": {**SHARED, RESCALE: {}}}, "header.scaling", "has RescaleSlope = None"),
        ({"own": _third(RESCALE, RescaleSlope=0, RescaleIntercept=0)}, "header.scaling", "frame 3: has RescaleSlope"),
        ({"own": _third(RESCALE, RescaleType="MGML")}, "header.scaling", "frame 3: holds MGML and no HU"),
        ({"own": _third(POSITION)}, "header.invalid", "frame 3: has no ImagePositionPatient"),
        ({"own": _third(MEASURES, PixelSpacing=[2, 4])}, "container.mixed", "frame 3, which has a spacing"),
        ({"own": _third(ORIENTATION, ImageOrientationPatient=[1, 0, 0, 0, 0, 1])}, "container.mixed", "frame 3"),
        ({"own": _third(KIND, FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"])}, "content.few_slices", "frame"),
        ({"order": (0, 1, 2, 3, 5, 6, 7, 8, 9)}, "container.incomplete", "frame 4 and frame 5 are 10.000 mm apart"),
        ({"order": (4,)}, "content.few_slices", "holds 1 slice"),
        ({"change": _set(SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3")}, "content.not_3d", "10 frames of another kind"),
        (
            {"change": _set(ConcatenationUID="1.2", InConcatenationNumber=2, InConcatenationTotalNumber=3)},
            "container.incomplete",
            "is part 2 of 3 of a volume",
        ),
        ({"syntax": JPEG_LS, "change": _set(Rows=15)}, "container.length", "frame 1: declares 15 x 16 pixels"),
        ({"hu": np.tile(HU, (1, 3, 3)), "syntax": EXTENDED, "change": _set(BitsStored=99)}, "header.datatype", "99"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(file: Path, given: dict[str, Any], code: str, says: str) -> None:
    write_enhanced(file, **given)
    found = refusal(file)
    assert (found.code, says in found.message) == (code, True), found.message


def test_a_slice_by_itself_names_its_folder(tmp_path: Path) -> None:
    write_series(tmp_path)
    found = refusal(tmp_path / "0.dcm")
    assert (found.code, found.message.startswith("holds one slice")) == ("content.not_3d", True)
    assert "expected the folder of its series" in found.message


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:End of file reached")
@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, RLELossless])
def test_any_cut_is_a_refusal(file: Path, syntax: str) -> None:
    write_enhanced(file, HU[:3], syntax=syntax)
    whole = file.read_bytes()
    for length in range(132, len(whole) - 8, 53):
        file.write_bytes(whole[:length])
        assert refusal(file).severity == "error"


def test_other_objects_may_lie_beside_the_file_but_no_other_ct(file: Path) -> None:
    write_enhanced(file)
    (file.parent / "README").write_text("a scan")
    (file.parent / ".DS_Store").write_bytes(b"x")
    write_series(file.parent, HU[:1], change=lambda dataset, number: setattr(dataset, "SOPClassUID", "1.2.840.999"))
    assert is_the_series(read_volume(file.parent))
    write_enhanced(file.parent / "0.dcm", HU + 1)
    assert refusal(file.parent).code == "container.several"
    assert is_the_series(read_volume(file))


def test_a_link_out_of_the_data_set_is_refused(file: Path, tmp_path: Path) -> None:
    write_enhanced(file)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/a.dcm").symlink_to(file)
    with pytest.raises(BadFileError, match="outside"):
        read_volume(tmp_path / "root/a.dcm", root=tmp_path / "root")
    with pytest.raises(BadFileError, match="outside"):
        read_volume(tmp_path / "root", root=tmp_path / "root")


def test_padding_is_air(file: Path) -> None:
    write_enhanced(file, change=lambda dataset: dataset.add_new("PixelPaddingValue", "US", int(HU[0, 0, 0]) + 1024))
    read = read_volume(file).voxels.numpy()[::-1, ::-1]
    np.testing.assert_array_equal(read, np.where(HU[0, 0, 0] == VOXELS, -1000, VOXELS))
