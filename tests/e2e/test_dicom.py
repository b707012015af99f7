"""A small export of an archive: checked and prepared as it comes, with nothing lost in silence."""

import gzip
import json
from pathlib import Path
from typing import Any

import pydicom
import pytest
from support.damage import synthetic_chest
from support.dicom_series import Change, write_series
from support.landmarks import slices_first

from simcrop_cli.__main__ import main

SPACING = (8.0, 8.0, 10.0)


def series(uid: str) -> Change:
    def change(dataset: Any, number: int) -> None:
        dataset.SeriesInstanceUID, dataset.PixelSpacing = uid, list(SPACING[:2])

    return change


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "export"
    for number, suffix in enumerate((".dicom", ".img", "", ".dcm.gz")):
        folder = root / f"P{number}/series"
        hu = slices_first(synthetic_chest(number))[7:17]
        write_series(folder, hu, step=(0, 0, SPACING[2]), change=series(f"1.2.{number}"))
        for path in list(folder.iterdir()):
            if suffix.endswith("gz"):
                path.write_bytes(gzip.compress(path.read_bytes()))
            path.rename(path.with_suffix(suffix))
    (root / "P0/series/README").write_text("exported by an archive")
    (root / "P1/series/thumbnails").mkdir()
    (root / "P1/series/thumbnails/a.jpg").write_bytes(b"x")
    dataset: Any = pydicom.dcmread(root / "P2/series/0")
    dataset.Modality = "SR"
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.67"
    dataset.save_as(root / "P2/series/dose")
    (tmp_path / "run.yaml").write_text(f"""\
data: {{source: dicom, root: {root}, prepared: {tmp_path / "cache"}, prepared_size: [18, 18, 18]}}
model: {{volume_size: [16, 16, 16], patch_size: [4, 4, 4], embed_dim: 24, depth: 1, num_heads: 2}}
objectives: {{report: {{weight: 0}}, alignment: {{weight: 0}}, late_interaction: {{weight: 0}}}}
""")
    return root


def checked(tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[dict[str, Any]], str]:
    status = main(["data", "check", what, "--report", str(tmp_path / "told.jsonl"), "--workers", "1"])
    rows = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    return status, rows, capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("what", ["run.yaml", "export"])
def test_an_export_is_checked_and_prepared_as_it_comes(
    export: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.is_dir()
    status, rows, total = checked(tmp_path, what, capsys)
    assert status == 0
    assert total.startswith("4 volumes: 0 errors")
    assert "3 files passed over" in total
    named = {Path(row["file"]).name for row in rows if row["code"] == "set.passed_over"}
    assert named == {"README", "a.jpg", "dose"}
    if what == "run.yaml":
        assert main(["data", "prepare", what]) == 0


def test_one_slice_less_is_told(export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (export / "P3/series/5.dcm.gz").unlink()
    status, rows, _ = checked(tmp_path, "run.yaml", capsys)
    assert status == 1
    (row,) = [row for row in rows if row["severity"] == "error"]
    assert (row["code"], row["values"]["missing"]) == ("container.incomplete", 1)
