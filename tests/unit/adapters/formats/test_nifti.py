"""NIfTI files: what is read is right, and what is damaged is refused with a line that names the file."""

import gzip
import struct
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from scipy.spatial.transform import Rotation

from simcrop.adapters.formats.nifti import nifti_bytes, opened_nifti, opened_pair, write_nifti
from simcrop.adapters.formats.stored import StoredVolume, read_stored
from simcrop.core.data.problems import BadFileError, OnProblem, Problem, refuse
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError

AFFINE = np.array([[2.0, 0, 0, -30], [0, 3.0, 0, -20], [0, 0, 5.0, 100], [0, 0, 0, 1]])
VOXELS = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6) - 1000


def read_volume(path: Path, on_problem: OnProblem = refuse) -> Volume:
    return read_stored(path, opened_nifti(path, on_problem, None))


def _saved(path: Path, voxels: np.ndarray = VOXELS, affine: np.ndarray = AFFINE) -> Path:
    write_nifti(path, voxels, affine)
    return path


def _patched(path: Path, offset: int, layout: str, *values: float) -> Path:
    """The plain file with header bytes replaced."""
    data = bytearray(_saved(path).read_bytes())
    struct.pack_into(f"<{layout}", data, offset, *values)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("axes", ["RAS", "LPS", "LAS", "PIR", "SAL", "IPR"])
def test_every_orientation_reads_as_ras(tmp_path: Path, axes: str) -> None:
    turn = ornt_transform(axcodes2ornt("RAS"), axcodes2ornt(axes))
    turned = nib.orientations.apply_orientation(VOXELS, turn)
    path = _saved(tmp_path / "v.nii.gz", turned, AFFINE @ inv_ornt_aff(turn, VOXELS.shape))
    volume = read_volume(path)
    assert torch.equal(volume.voxels, torch.from_numpy(VOXELS))
    np.testing.assert_allclose(volume.affine, AFFINE, atol=1e-5)
    assert volume.spacing_mm == pytest.approx((2, 3, 5))


def test_an_oblique_affine_stays_oblique(tmp_path: Path) -> None:
    angle = np.deg2rad(5)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    volume = read_volume(_saved(tmp_path / "v.nii", affine=turn @ AFFINE))
    np.testing.assert_allclose(volume.affine, turn @ AFFINE, atol=1e-5)


def test_the_sform_wins_over_the_qform_which_is_told(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VOXELS, AFFINE)
    image.set_qform(np.diag([2.0, 3, 5, 1]), code=1)
    image.set_sform(AFFINE, code=1)
    nib.save(image, tmp_path / "v.nii")
    told: list[Problem] = []
    np.testing.assert_allclose(read_volume(tmp_path / "v.nii", on_problem=told.append).affine, AFFINE)
    assert "header.sform_qform" in [problem.code for problem in told]
    with pytest.raises(DataError, match=r"its sform and qform put the corners 106.3 mm apart; find out"):
        read_volume(tmp_path / "v.nii")


def test_the_headers_scaling_is_applied_and_the_caller_may_say_otherwise(tmp_path: Path) -> None:
    path = _patched(tmp_path / "v.nii", 112, "2f", 2.0, -10.0)
    assert torch.equal(read_volume(path).voxels, torch.from_numpy(VOXELS * 2 - 10).short())
    seen: list[tuple[float, float]] = []

    @contextmanager
    def as_stored() -> Generator[StoredVolume]:
        with opened_nifti(path, refuse, None) as stored:
            seen.append(stored.scaling)
            yield replace(stored, scaling=(1.0, 0.0))

    assert torch.equal(read_stored(path, as_stored()).voxels, torch.from_numpy(VOXELS))
    assert seen == [(2.0, -10.0)]


def test_a_fractional_scaling_gives_floats(tmp_path: Path) -> None:
    volume = read_volume(_patched(tmp_path / "v.nii", 112, "2f", 0.5, 0.0))
    assert volume.voxels.dtype == torch.float32
    assert volume.voxels[0, 0, 1] == -499.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.float32, np.float64, ">i2"])
def test_every_number_type_is_read(tmp_path: Path, dtype: str) -> None:
    voxels = np.array([0, 1, 2, 100], dtype=dtype).reshape(2, 2, 1)
    volume = read_volume(_saved(tmp_path / "v.nii.gz", voxels))
    assert volume.voxels.flatten().tolist() == [0, 1, 2, 100]
    assert volume.voxels.dtype == (torch.float32 if np.dtype(dtype).kind == "f" else torch.int16)


def test_numbers_beyond_int16_are_not_wrapped(tmp_path: Path) -> None:
    volume = read_volume(_saved(tmp_path / "v.nii", np.array([[[40000, -40000]]], dtype=np.int32)))
    assert volume.voxels.tolist() == [[[40000.0, -40000.0]]]


def test_nifti2_and_a_fourth_dimension_of_one_are_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(VOXELS[..., None], AFFINE), tmp_path / "v.nii.gz")
    assert torch.equal(read_volume(tmp_path / "v.nii.gz").voxels, torch.from_numpy(VOXELS))


def test_gzip_of_several_members_is_read(tmp_path: Path) -> None:
    data = _saved(tmp_path / "plain.nii").read_bytes()
    path = tmp_path / "v.nii.gz"
    path.write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]))
    assert torch.equal(read_volume(path).voxels, torch.from_numpy(VOXELS))


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path) -> None:
    packed = _saved(tmp_path / "a.nii.gz").read_bytes()
    assert packed == _saved(tmp_path / "b.nii.gz").read_bytes()
    assert packed[3:8] == bytes(5)  # neither a name nor a time in gzip's header


def _turned(degrees: float, shear: float = 0.0) -> np.ndarray:
    """Axes of the patient's, turned, with the second leaning by `shear` mm a mm."""
    lean = np.eye(4)
    lean[0, 1] = shear
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", [degrees, -degrees / 2, 2 * degrees], degrees=True).as_matrix()
    return turn @ lean @ AFFINE


@pytest.mark.parametrize("flip", [1, -1])
@pytest.mark.parametrize("degrees", [0, 7, 100])
def test_sform_and_qform_say_the_same_where_axes_are_at_right_angles(tmp_path: Path, degrees: float, flip: int) -> None:
    affine = _turned(degrees) @ np.diag([flip, 1, 1, 1])
    header = nib.load(_saved(tmp_path / "v.nii", affine=affine)).header
    (sform, has_sform), (qform, has_qform) = header.get_sform(coded=True), header.get_qform(coded=True)
    assert has_sform == has_qform == 1
    np.testing.assert_allclose(sform, affine, atol=1e-4)
    np.testing.assert_allclose(qform, affine, atol=1e-4)
    assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("shear", [0.01, 0.3])
def test_of_a_sheared_affine_only_the_sform_is_true(tmp_path: Path, shear: float) -> None:
    affine = _turned(7, shear)
    path = _saved(tmp_path / "v.nii", affine=affine)
    header = nib.load(path).header
    assert (header["sform_code"], header["qform_code"]) == (1, 0)
    np.testing.assert_allclose(header.get_sform(), affine, atol=1e-4)
    told: list[Problem] = []
    np.testing.assert_allclose(read_volume(path, told.append).affine, affine, atol=1e-4)
    assert {found.code for found in told} == {"header.no_qform"} | ({"header.sheared"} if shear > 0.02 else set())


def test_what_is_written_gives_no_note(tmp_path: Path) -> None:
    for number, voxels in enumerate((VOXELS, VOXELS.astype(np.float32), (VOXELS > 0).astype(np.uint8))):
        told: list[Problem] = []
        read_volume(_saved(tmp_path / f"{number}.nii.gz", voxels, _turned(7)), told.append)
        assert told == []


DAMAGE: dict[str, tuple[Callable[[bytes, bytes], bytes], str]] = {
    "empty": (lambda packed, plain: b"", "is empty"),
    "html": (lambda packed, plain: b"<html>Not found</html>", "is a web page"),
    "plain file named gz": (lambda packed, plain: plain, "is not gzip"),
    "no trailer": (lambda packed, plain: packed[:-8], "cut off"),
    "last byte missing": (lambda packed, plain: packed[:-1], "cut off"),
    "half": (lambda packed, plain: packed[: len(packed) // 2], "cut off"),
    "wrong CRC": (lambda packed, plain: packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:], "damaged"),
    "flipped bit": (
        lambda packed, plain: packed[:90] + bytes([packed[90] ^ 4]) + packed[91:],
        "damaged|declares|NIfTI",
    ),
    "trailing garbage": (lambda packed, plain: packed + b"xx", "goes on after the end"),
    "voxels missing": (lambda packed, plain: gzip.compress(plain[:-2]), "ends after 590 of 592 bytes"),
    "voxels too many": (lambda packed, plain: gzip.compress(plain + b"\0"), "more than the 592 bytes"),
    "no header": (lambda packed, plain: gzip.compress(b"abc"), "is not NIfTI"),
}


@pytest.mark.parametrize("kind", list(DAMAGE))
def test_a_damaged_container_is_refused(tmp_path: Path, kind: str) -> None:
    plain = _saved(tmp_path / "plain.nii").read_bytes()
    path = tmp_path / "v.nii.gz"
    damage, message = DAMAGE[kind]
    path.write_bytes(damage(gzip.compress(plain), plain))
    with pytest.raises(DataError, match=message) as refused:
        read_volume(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_cut_or_a_flipped_bit_is_refused_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("nifti") / "v.nii.gz"
    packed = bytearray(_saved(path).read_bytes())
    if data.draw(st.booleans()):
        # Byte 9 is the operating system that wrote the file; bytes 4 to 8 are time and compression level.
        place = data.draw(st.integers(10, len(packed) - 1))
        packed[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    path.write_bytes(packed)
    try:
        volume = read_volume(path)
    except DataError:
        return
    # The bits that fill the last byte of the compressed data mean nothing; nothing else may pass.
    assert torch.equal(volume.voxels, torch.from_numpy(VOXELS))
    np.testing.assert_array_equal(volume.affine, AFFINE)


@pytest.mark.parametrize(
    ("offset", "layout", "values", "message"),
    [
        (42, "3h", (32767, 32767, 32767), "above the limit"),
        (40, "4h", (2, 4, 5, 6), "3D volume"),
        (40, "5h", (4, 4, 5, 6, 2), "3D volume"),
        (42, "3h", (0, 5, 6), "declares dimensions"),
        (108, "f", (float("nan"),), "at byte nan"),
        (70, "2h", (32, 64), "complex64"),
        (252, "2h", (0, 0), "left and right are unknown"),
        (280, "4f", (0, 0, 0, 0), "voxel spacing"),
        (280, "4f", (float("nan"), 0, 0, 0), "voxel spacing"),
        (280, "8f", (1, 1, 0, 0, 1, 1, 0, 0), "singular"),
    ],
)
def test_an_impossible_header_is_refused(
    tmp_path: Path, offset: int, layout: str, values: tuple[float, ...], message: str
) -> None:
    path = _patched(tmp_path / "v.nii", offset, layout, *values)
    with pytest.raises(DataError, match=message):
        read_volume(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        read_volume(_saved(tmp_path / "v.nii.gz", voxels))


def test_an_absent_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_volume(tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match="cannot be read"):
        read_volume(tmp_path)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("end", [".img", ".IMG", ".img.gz"])
def test_a_pair_of_files_is_read_as_one_volume(tmp_path: Path, kind: type, end: str) -> None:
    nib.save(kind(VOXELS, AFFINE), tmp_path / "a.hdr")
    data = (tmp_path / "a.img").read_bytes()
    (tmp_path / "a.img").unlink()
    (tmp_path / f"a{end}").write_bytes(gzip.compress(data) if end.endswith("gz") else data)
    expected = read_volume(_saved(tmp_path / "b.nii"))
    found = read_stored(tmp_path / "a.hdr", opened_pair(tmp_path / "a.hdr", refuse, tmp_path))
    assert torch.equal(found.voxels, expected.voxels)
    assert torch.equal(found.affine, expected.affine)


def _pair_refusal(path: Path) -> str:
    with pytest.raises(BadFileError) as refused:
        read_stored(path, opened_pair(path, refuse, None))
    return refused.value.problem.code


def test_a_pair_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.hdr"
    nib.save(nib.Nifti1Pair(VOXELS, AFFINE), path)
    whole = (tmp_path / "a.img").read_bytes()
    for data, code in ((whole[:-1], "container.truncated"), (whole + b"x", "container.trailing")):
        (tmp_path / "a.img").write_bytes(data)
        assert _pair_refusal(path) == code
    (tmp_path / "a.img").unlink()
    assert _pair_refusal(path) == "container.missing"
    for kind in (nib.AnalyzeImage, nib.Spm2AnalyzeImage):  # which may be mirrored, and nobody can tell
        nib.save(kind(VOXELS, AFFINE), path)
        assert _pair_refusal(path) == "header.no_orientation"
    path.write_bytes(b"ENVI\nsamples = 4\n" * 40)
    assert _pair_refusal(path) == "container.format"


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("sheared", [False, True])
def test_what_is_written_is_what_nibabel_writes(kind: type[np.generic], *, sheared: bool) -> None:
    affine = AFFINE + (np.array([[0, 1, 0, 0], *[[0] * 4] * 3]) if sheared else 0)
    voxels = np.ascontiguousarray(VOXELS[::-1].transpose(2, 0, 1)).astype(kind)
    image = nib.Nifti1Image(voxels, affine, dtype=voxels.dtype)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine if not sheared else None, code=0 if sheared else 1)
    for _ in range(2):  # the header of the first call serves the second
        assert nifti_bytes("v.nii", voxels, affine) == image.to_bytes()
    assert gzip.decompress(nifti_bytes("v.nii.gz", voxels, affine)) == image.to_bytes()


def test_fields_of_one_file_do_not_reach_the_next() -> None:
    named = nifti_bytes("v.nii", VOXELS, AFFINE, fields={"descrip": b"similarity"})
    assert nib.Nifti1Image.from_bytes(named).header["descrip"] == b"similarity"
    assert nib.Nifti1Image.from_bytes(nifti_bytes("v.nii", VOXELS, AFFINE)).header["descrip"] == b""
