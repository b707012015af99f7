"""A bright block at a known place of a scan is found there, in pictures and maps, however the scan's axes lie."""

from pathlib import Path
from typing import BinaryIO

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation
from support.bright_model import BrightnessModel, Words, world_of, write_scan

from simcrop.adapters.evaluation.language.heat_map import HeatMap, PatchMap
from simcrop.compose import locating, models
from simcrop.core.errors import CheckpointError, ConfigError, DataError, InputError
from simcrop.core.evaluation.references import ReferenceScans


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> BrightnessModel:
    fake = BrightnessModel()
    monkeypatch.setattr(locating, "load_aligned", lambda checkpoint, device: (fake, Words()))
    monkeypatch.setattr(locating, "references_of", lambda checkpoint: None)
    monkeypatch.setattr(models, "trained_on", lambda checkpoint: "that is known")
    return fake


TURN = Rotation.from_euler("xyz", [6, -9, 14], degrees=True).as_matrix()
AXES = {
    "RAS": np.eye(3),
    "LPS": np.diag([-1.0, -1, 1]),
    "feet first": np.diag([-1.0, 1, -1]),
    "oblique": TURN,
    "oblique, slices first": TURN @ np.array([[0, -1.0, 0], [0, 0, 1], [1, 0, 0]]),
}


def on_scan(found: PatchMap, path: Path) -> HeatMap:
    """The map on the voxels of a file."""
    image = nib.load(path)
    return found.onto(image.shape, image.affine)


@pytest.mark.parametrize("patch", [(1, 2, 1), (3, 1, 2)])
@pytest.mark.parametrize("axes", AXES)
def test_the_map_is_hottest_where_the_block_is(
    tmp_path: Path, model: BrightnessModel, axes: str, patch: tuple[int, int, int]
) -> None:
    path, out = tmp_path / "scan.nii.gz", tmp_path / "map.nii.gz"
    affine = write_scan(path, AXES[axes], patch, shape=(50, 48, 46))
    [found] = locating.locate("run", path, ["Something bright."], [out])
    heat = on_scan(found, path)
    written = nib.load(out)
    assert (written.shape, np.array_equal(written.affine, affine)) == ((50, 48, 46), True)
    values = written.get_fdata(dtype=np.float32)
    hottest = np.unravel_index(values.argmax(), values.shape)
    wanted = (np.linalg.inv(affine) @ [*world_of(patch), 1])[:3]
    assert np.abs(np.array(hottest) - wanted).max() <= 0.5
    assert np.abs(np.array(heat.best_voxel) - wanted).max() <= 0.5
    np.testing.assert_allclose(heat.best_mm, world_of(patch), atol=2.1)
    assert heat.cosine == values[heat.best_voxel]


def test_a_picture_and_maps_are_written_together_and_what_was_found_is_printed(
    tmp_path: Path, model: BrightnessModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scan.nii.gz"
    write_scan(path, AXES["LPS"], (1, 2, 1), shape=(50, 48, 46))
    outs = [tmp_path / "new" / name for name in ("a.png", "b.nii", "c.NII.GZ")]
    [found] = locating.locate("run", path, ["Something bright."], outs)
    heat = on_scan(found, path)
    assert outs[0].read_bytes().startswith(b"\x89PNG")
    assert outs[1].stat().st_size > 4 * heat.values.size
    assert outs[2].read_bytes().startswith(b"\x1f\x8b")
    lines = capsys.readouterr().out.splitlines()
    voxel = ", ".join(map(str, heat.best_voxel))
    assert lines[0].startswith(f"scan.nii.gz: cosine {heat.cosine:.3f} at x ")
    assert lines[0].endswith(f"voxel {voxel}")
    assert lines[1] == "the model run sees 80 x 64 x 72 mm around the centre, 41 % of the scan (dashed line)"
    assert lines[2:-1] == list(map(str, outs))
    assert lines[-1] == "a cosine says where a sentence fits best, not whether it is true; that is known"


def test_where_a_score_stands_among_reference_scans_is_printed(
    tmp_path: Path, model: BrightnessModel, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.nii.gz"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    [found] = locating.locate("run", path, ["Something bright."], [tmp_path / "a.png"])
    score = float(found.patches.max())
    rows = [[each, (1 - each**2) ** 0.5] for each in (score - 0.01, score - 0.1, -0.5, score + 0.001)]
    references = ReferenceScans(torch.tensor(rows), torch.arange(4), held_out=False)
    monkeypatch.setattr(locating, "references_of", lambda checkpoint: references)
    capsys.readouterr()
    locating.locate("run", path, ["Something bright."], [tmp_path / "a.png"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "higher than in 75 % of 4 reference scans of the training data"
    assert lines[2].startswith("the model run sees")


def test_of_several_sentences_each_has_its_files_and_its_lines(
    tmp_path: Path, model: BrightnessModel, capsys: pytest.CaptureFixture[str]
) -> None:
    path, findings = tmp_path / "scan.nii.gz", tmp_path / "findings.txt"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    findings.write_text("Something bright. The heart is normal.")
    outs = [tmp_path / "map.nii.gz", tmp_path / "a.png"]
    bright, dark = locating.locate("run", path, [], outs, findings=findings)
    assert np.allclose(dark.patches, -bright.patches)
    names = {file.name for file in tmp_path.iterdir()} - {"scan.nii.gz", "findings.txt"}
    assert names == {"map_1.nii.gz", "map_2.nii.gz", "a_1.png", "a_2.png"}
    assert np.array_equal(nib.load(tmp_path / "map_2.nii.gz").get_fdata(dtype=np.float32), on_scan(dark, path).values)
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[5]] == ["Something bright.", "The heart is normal."]
    assert len(lines) == 11


def test_how_much_of_a_large_scan_is_not_seen_is_a_warning(
    tmp_path: Path, model: BrightnessModel, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "scan.nii.gz"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(50, 48, 46))
    [found] = locating.locate("run", path, ["Something bright."], [tmp_path / "map.nii"])
    heat = on_scan(found, path)
    share = 1 - (80 / 1.9 // 2 * 2) * (64 / 2.0) * (72 / 2.1 // 2 * 2) / (50 * 48 * 46)
    assert heat.share_outside == pytest.approx(share, abs=0.01)
    assert f"{100 * heat.share_outside:.1f} % of" in caplog.text
    assert "lie outside of the 80 x 64 x 72 mm around its centre that the model sees" in caplog.text
    caplog.clear()
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    locating.locate("run", path, ["Something bright."], [tmp_path / "map.nii"])
    assert not caplog.records


def test_the_sentence_is_read_with_built_in_findings_or_those_of_a_file(tmp_path: Path, model: BrightnessModel) -> None:
    path, findings = tmp_path / "scan.nii", tmp_path / "findings.txt"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    [bright] = locating.locate("run", path, ["Something bright."], [tmp_path / "map.nii"])
    assert model.num_read == 19
    findings.write_text("The lungs are clear. Something  BRIGHT. The heart is normal.")
    [again] = locating.locate("run", path, ["Something bright."], [tmp_path / "map.nii"], findings=findings)
    assert model.num_read == 3
    assert np.array_equal(bright.patches, again.patches)
    [dark] = locating.locate("run", path, ["Something dark."], [tmp_path / "map.nii"], findings=findings)
    assert model.num_read == 4
    assert np.allclose(dark.patches, -bright.patches)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"sentences": []}, InputError, r"^--sentence: is empty; write what to look for"),
        ({"sentences": [" "]}, InputError, r"^--sentence: is empty; write what to look for"),
        (
            {"sentences": ["Something bright.", "Qat aqua"]},
            InputError,
            r"^--sentence: the model knows no word of 'Qat aqua'; write it in the",
        ),
        ({"outs": ["map.tif"]}, InputError, r"^--out: .*map.tif ends in none of .png \(a picture\), .nii and .nii.gz"),
        ({"findings": Path("nowhere.txt")}, DataError, r"^--report: nowhere.txt cannot be read \(No such file"),
        ({"volume": Path("nowhere.nii")}, DataError, r"^nowhere.nii: does not exist; name a file \(.nii.gz, .nii, "),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(
    tmp_path: Path, model: BrightnessModel, arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    path = tmp_path / "scan.nii"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    given = {"volume": path, "sentences": ["Something bright."], "outs": ["map.nii"]} | arguments
    given["outs"] = [tmp_path / name for name in given["outs"]]
    with pytest.raises(error, match=message) as raised:
        locating.locate("run", **given)
    assert "\n" not in str(raised.value)
    assert [file.name for file in tmp_path.iterdir()] == ["scan.nii"]


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("file/map.nii", r"^--out \S+/file: cannot be made \(File exists\); name another folder$"),
        ("file/below/a.png", r"^--out \S+/file/below: cannot be made \(Not a directory\); name another folder$"),
        ("folder.png", r"^--out: \S+/folder.png is a folder; name a file in it$"),
    ],
)
def test_an_out_that_cannot_be_written_is_known_before_anything_is_read(
    tmp_path: Path, model: BrightnessModel, out: str, message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises((ConfigError, InputError), match=message):
        locating.locate("run", Path("nowhere.nii"), ["Something bright."], [tmp_path / "map.nii", tmp_path / out])


def test_a_picture_that_is_not_finished_leaves_the_earlier_one(
    tmp_path: Path, model: BrightnessModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "scan.nii", tmp_path / "a.png"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    out.write_bytes(b"an earlier picture")

    def killed(figure: Figure, to: BinaryIO, **options: object) -> None:
        to.write(b"half")
        raise SystemExit(143)

    monkeypatch.setattr(Figure, "savefig", killed)
    with pytest.raises(SystemExit):
        locating.locate("run", path, ["Something bright."], [out])
    assert out.read_bytes() == b"an earlier picture"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.png", "scan.nii"]


def test_a_missing_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "scan.nii"
    write_scan(path, np.eye(3), (1, 2, 1), shape=(42, 32, 34))
    with pytest.raises(CheckpointError, match="nowhere"):
        locating.locate(str(tmp_path / "nowhere"), path, ["Something bright."], [tmp_path / "map.nii"])
