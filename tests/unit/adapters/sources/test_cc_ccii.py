"""CC-CCII: classes, patients, slice pictures in the order of their numbers, and what is declared of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.landmarks import codes, flip_byte, found_at, is_ras
from support.picture_scans import GREY, write_scan

from simcrop.adapters.sources.cc_ccii import CCCCIISource
from simcrop.core.data.problems import BadFileError, Problem
from simcrop.core.errors import ConfigError, DataError

DECLARED = {"slope": 8.0, "intercept": -1000.0, "spacing_mm": (0.7, 0.8, 5.0)}
SCAN = "NCP/12/1234"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_scan(tmp_path / SCAN)
    write_scan(tmp_path / "CP" / "12" / "99")
    write_scan(tmp_path / "Normal" / "7" / "1", suffix=".jpg")
    return tmp_path


def _source(root: Path, **more) -> CCCCIISource:
    return CCCCIISource(root, **{**DECLARED, **more})


def test_every_scan_is_a_study_and_its_class_the_label(root: Path) -> None:
    source = _source(root)
    assert source.label_names == ("CP", "NCP", "Normal")
    studies = {study.study_id: study for study in source.studies()}
    assert list(studies) == ["CP/12/99", SCAN, "Normal/7/1"]
    assert studies[SCAN].labels == {"CP": 0, "NCP": 1, "Normal": 0}
    assert studies[SCAN].patient_id == studies["CP/12/99"].patient_id == "12"
    assert studies[SCAN].split is None
    assert set(source.files()) == {root / name for name in studies}


def test_grey_values_become_hu_as_declared(root: Path) -> None:
    volume = _source(root).read_volume(SCAN)
    expected = np.transpose(GREY, (2, 1, 0))[::-1, ::-1, ::-1] * 8.0 - 1000
    np.testing.assert_array_equal(volume.voxels.numpy(), expected)
    assert volume.spacing_mm == pytest.approx((0.7, 0.8, 5.0))
    assert codes(_source(root).inspect, SCAN) == []
    half = _source(root, slope=2.5).read_volume(SCAN).voxels.numpy()
    np.testing.assert_array_equal(half, (expected + 1000) / 8 * 2.5 - 1000)


@pytest.mark.parametrize(
    ("index", "world_mm"),
    [((0, 0, 0), [0, 0, 0]), ((11, 0, 0), [0, 0, -55]), ((0, 13, 0), [0, -10.4, 0]), ((0, 0, 15), [-10.5, 0, 0])],
)
def test_slices_run_to_the_feet_rows_to_the_back_columns_to_the_left(
    root: Path, index: tuple[int, int, int], world_mm: list[float]
) -> None:
    grey = GREY.copy()
    grey[index] = 255
    write_scan(root / SCAN, grey)
    volume = _source(root).read_volume(SCAN)
    assert found_at(volume) == world_mm
    assert is_ras(volume)


def test_slices_are_ordered_by_number_not_by_letter(root: Path) -> None:
    for name in ("CP/1/letters", "CP/1/zeros"):
        write_scan(root / name, name="IMG-0003-{:05}" if name.endswith("zeros") else "2 slice{}")
    source = _source(root)
    assert source.read_volume("CP/1/letters").voxels.equal(source.read_volume(SCAN).voxels)
    assert source.read_volume("CP/1/zeros").voxels.equal(source.read_volume(SCAN).voxels)


def test_jpeg_and_grey_saved_as_colours(root: Path) -> None:
    read = _source(root).read_volume("Normal/7/1").voxels
    assert read.shape == (16, 14, 12)
    write_scan(root / SCAN, np.repeat(GREY[..., None], 3, axis=3))
    assert _source(root).read_volume(SCAN).voxels.equal(_source(root).read_volume("CP/12/99").voxels)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda folder: (folder / "5.png").unlink(), "container.incomplete"),
        (lambda folder: (folder / "5.png").rename(folder / "11.jpg"), "container.incomplete"),
        (lambda folder: (folder / "5.png").rename(folder / "05.png"), None),
        (lambda folder: (folder / "5.png").rename(folder / "five.png"), "container.incomplete"),
        (lambda folder: [path.unlink() for path in folder.iterdir()], "container.incomplete"),
        (lambda folder: Image.fromarray(GREY[5, :-1]).save(folder / "5.png"), "container.mixed"),
        (lambda folder: Image.fromarray(GREY[5].T).save(folder / "5.png"), "container.mixed"),
        (lambda folder: Image.fromarray(GREY[5].astype(np.uint16)).save(folder / "5.png"), "header.datatype"),
        (lambda folder: Image.fromarray(GREY[5]).convert("1").save(folder / "5.png"), "header.datatype"),
        (lambda folder: Image.fromarray(GREY[5:8, :, :].T).save(folder / "5.png"), "content.not_3d"),
        (lambda folder: Image.new("L", (5000, 2)).save(folder / "0.png"), "header.dims_huge"),
        (lambda folder: Image.fromarray(GREY[5]).save(folder / "5.png", format="GIF"), "container.format"),
        (lambda folder: (folder / "5.png").write_bytes(b""), "container.empty"),
        (lambda folder: (folder / "5.png").write_bytes(b"<html>"), "container.html"),
    ],
)
def test_slices_that_do_not_belong_together(root: Path, change, code: str | None) -> None:
    change(root / SCAN)
    assert codes(_source(root).inspect, SCAN) == ([] if code is None else [code])
    if code is not None:
        with pytest.raises(BadFileError) as refused:
            _source(root).read_volume(SCAN)
        assert refused.value.problem.code == code


@pytest.mark.parametrize("name", [SCAN, "Normal/7/1"])
def test_a_picture_that_is_cut_off(root: Path, name: str) -> None:
    path = next(iter((root / name).glob("5.*")))
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) - 8, len(whole) // 2, 40):
        path.write_bytes(whole[:length])
        assert codes(_source(root).inspect, name) == ["container.truncated"], length


def test_flipped_bytes_and_trailing_ones_in_a_png_are_seen(root: Path) -> None:
    path = root / SCAN / "5.png"
    whole = path.read_bytes()
    path.write_bytes(whole + b"\0")
    assert codes(_source(root).inspect, SCAN) == ["container.trailing"]
    for offset in (1, 20, 30, 60, len(whole) // 2, -14, -1):
        path.write_bytes(whole)
        flip_byte(path, offset)
        (code,) = codes(_source(root).inspect, SCAN)
        assert code in {"container.crc", "container.format", "container.corrupt", "container.truncated"}, offset
    path.write_bytes(whole)
    flip_byte(path, len(whole) // 2)
    assert codes(_source(root).inspect, SCAN) == ["container.crc"]


def test_undeclared_grey_values_do_not_pass_for_hu(root: Path) -> None:
    assert codes(_source(root, slope=1, intercept=0).inspect, SCAN) == ["content.eight_bit"]


@pytest.mark.parametrize(
    "wrong",
    [{"slope": 0.0}, {"slope": float("nan")}, {"intercept": float("inf")}, {"spacing_mm": (1, 1, 0)}],
)
def test_impossible_declarations_are_refused(root: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=r"grey_scaling|spacing_mm"):
        _source(root, **wrong)


def test_what_changes_the_voxels_changes_the_identity(root: Path) -> None:
    sources = [_source(root), _source(root, slope=2), _source(root, intercept=1), _source(root, spacing_mm=(1, 1, 1))]
    assert len({source.identity for source in sources}) == 4


def test_listing_opens_no_volume_and_quarantine_is_kept(root: Path) -> None:
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    source = _source(root, quarantine=["CP/12/99"])
    assert [study.study_id for study in source.studies()] == [SCAN, "Normal/7/1"]
    assert root / "CP/12/99" not in set(source.files())


def test_links_and_names_stay_in_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    write_scan(outside / "2")
    (root / "CP" / "13").symlink_to(outside)
    told: list[Problem] = []
    source = _source(root, on_problem=told.append)
    assert [found.code for found in told] == ["safety.outside"]
    assert "CP/13/2" not in {study.study_id for study in source.studies()}
    for name in ("CP/13/2", "../2", "/etc"):
        with pytest.raises(DataError, match="outside"):
            source.read_volume(name)
    (root / SCAN / "5.png").unlink()
    (root / SCAN / "5.png").symlink_to(outside / "2" / "5.png")
    assert codes(source.inspect, SCAN) == ["safety.outside"]


def test_a_folder_without_scans_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match="holds no scan like NCP/12/1234"):
        _source(tmp_path)
