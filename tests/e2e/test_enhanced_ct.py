"""An enhanced CT as a scanner hands it over: its file, or the folder with it, is checked, trained on and embedded."""

from pathlib import Path

import pytest
from support.command import simcrop
from support.damage import synthetic_chest
from support.data_folders import write_table
from support.dicom_enhanced import MEASURES, SHARED, write_enhanced
from support.dicom_packing import LOSSLESS_SV1
from support.landmarks import slices_first
from support.tiny_data import CONFIG

SERIES = {**SHARED, MEASURES: {"PixelSpacing": [10, 10], "SliceThickness": 5}}
SETS = ("data.prepared_size=[18,18,18]", "train.steps=1", "train.warmup_steps=0", "model.spacing_mm=[18,18,18]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four patients, one volume each: named as files and as folders by a table."""
    folder = tmp_path_factory.mktemp("enhanced")
    rows: list[dict[str, object]] = []
    for number in range(4):
        path = folder / f"scans/P{number}/IM0001.dcm"
        syntax = {"syntax": LOSSLESS_SV1} if number == 1 else {}
        write_enhanced(path, slices_first(synthetic_chest(number)), shared=SERIES, **syntax)
        named = path if number % 2 else path.parent
        row = {"volume": named.relative_to(folder / "scans"), "findings": "The heart is normal.", "impression": ""}
        rows.append(row | {"patient_id": f"p{number}", "split": "validation" if number == 3 else "train"})
    write_table(folder / "scans/studies.csv", rows)
    config = CONFIG.format(manifest=folder / "scans/studies.csv", prepared=folder / "prepared")
    (folder / "tiny.yaml").write_text(config)
    tree = config.replace("source: manifest", "source: dicom").replace("manifest: ", "root: ")
    (folder / "tree.yaml").write_text(tree.replace("scans/studies.csv", "scans"))
    return folder


def test_check_train_and_embed_take_the_file_and_the_folder(folder: Path) -> None:
    checked = simcrop("data", "check", folder / "tiny.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.splitlines()[-1].startswith("4 volumes: 0 errors")
    sets = [part for value in SETS for part in ("--set", value)]
    trained = simcrop("train", folder / "tiny.yaml", "--out", folder / "run", *sets)
    assert trained.returncode == 0, trained.stderr
    inputs = [folder / "scans/P0", folder / "scans/P0/IM0001.dcm", folder / "scans/P1/IM0001.dcm"]
    done = simcrop("embed", *inputs, "--checkpoint", folder / "run", "--out", folder / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = (line.split(",")[1:] for line in (folder / "out/features.csv").read_text().splitlines()[1:])
    assert first == second != third


def test_a_missing_frame_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    hu = slices_first(synthetic_chest(0))
    order = [number for number in range(len(hu)) if number != 7]
    write_enhanced(tmp_path / "IM0001.dcm", hu, shared=SERIES, order=order)
    (tmp_path / "data.yaml").write_text(
        (folder / "tree.yaml").read_text().replace(str(folder / "scans"), str(tmp_path))
    )
    done = simcrop("data", "check", tmp_path / "data.yaml")
    assert done.returncode == 1
    assert "container.incomplete" in done.stdout
    assert "has slices 5.000 mm apart" in done.stdout
