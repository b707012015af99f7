"""A data set of one's own: one CSV beside its volumes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from support.data_folders import SHAPE, chest, write_table, write_truth, write_volume

from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.sources.manifest import ManifestSource
from simcrop.core.data.study import Report
from simcrop.core.errors import DataError

Row = dict[str, object]


def _row(volume: str, **more: object) -> Row:
    return {"volume": volume, "findings": "Heart is normal.", "impression": "", **more}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    write_volume(tmp_path / "a.nii.gz", chest(0))
    write_volume(tmp_path / "sub" / "b.nii", chest(1))
    return tmp_path / "reports.csv"


def test_every_row_is_a_study_of_its_own_by_default(table: Path) -> None:
    write_table(table, [_row("a.nii.gz"), _row("sub/b.nii")])
    source = ManifestSource(table)
    first, second = source.studies()
    assert (first.study_id, first.patient_id, first.split, first.labels) == ("a", "a", None, {})
    assert (second.study_id, second.reconstructions) == ("sub/b", ("sub/b.nii",))
    assert first.report == Report("Heart is normal.", "")
    assert torch.equal(source.read_volume("sub/b.nii").voxels, torch.from_numpy(chest(1)))


@pytest.mark.parametrize(
    ("word", "split"), [("Training", "train"), ("TRAIN ", "train"), ("val", "validation"), ("valid", "validation")]
)
def test_splits_are_known_by_their_usual_words(table: Path, word: str, split: str) -> None:
    write_table(table, [_row("a.nii.gz", split=word)])
    assert [study.split for study in ManifestSource(table).studies()] == [split]


def test_optional_columns_group_split_and_label(table: Path) -> None:
    rows = [
        _row("a.nii.gz", study_id="s", patient_id="p", split="Valid", emphysema="1", age="63"),
        _row("sub/b.nii", study_id="s", patient_id="p", split="valid", emphysema="0", age="63"),
    ]
    write_table(table, rows)
    source = ManifestSource(table)
    (study,) = source.studies()
    assert source.label_names == ("emphysema",)
    assert (study.study_id, study.patient_id, study.split) == ("s", "p", "validation")
    assert study.reconstructions == ("a.nii.gz", "sub/b.nii")
    assert study.labels == {"emphysema": 1}


@pytest.mark.parametrize("unknown", ["", "  ", "nan", "NaN", "NA", "N/A", "<NA>", "null"])
def test_a_blank_leaves_its_study_without_that_label_and_the_column_a_label(table: Path, unknown: str) -> None:
    write_table(table, [_row("a.nii.gz", mass="1", nodule=unknown), _row("sub/b.nii", mass=unknown, nodule="0.0")])
    source = ManifestSource(table)
    assert source.label_names == ("mass", "nodule")
    assert [study.labels for study in source.studies()] == [{"mass": 1}, {"nodule": 0}]


def test_columns_of_text_numbers_or_nothing_are_no_labels(table: Path) -> None:
    other: list[dict[str, object]] = [
        {"age": "63", "mass": "1", "remark": "", "empty": "", "grade": "0", "sex": "F", "dose": "0.5"},
        {"age": "", "mass": "", "remark": "seen twice", "empty": "NaN", "grade": "2", "sex": "M", "dose": "1"},
    ]
    write_table(table, [_row("a.nii.gz", **other[0]), _row("sub/b.nii", **other[1])])
    assert ManifestSource(table).label_names == ("mass",)


def test_a_label_of_a_study_is_what_the_first_of_its_rows_says_that_says_something(table: Path) -> None:
    write_volume(table.parent / "c.nii.gz", chest(2))
    rows = [
        _row("a.nii.gz", study_id="s", mass="", nodule="0"),
        _row("sub/b.nii", study_id="s", mass="1", nodule="1"),
        _row("c.nii.gz", study_id="s", mass="0", nodule=""),
    ]
    write_table(table, rows)
    (study,) = ManifestSource(table).studies()
    assert study.labels == {"mass": 1, "nodule": 0}


def test_paths_are_relative_to_the_table(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(table, [_row("a.nii.gz")])
    monkeypatch.chdir(table.parent.parent)
    source = ManifestSource(Path(table.parent.name) / table.name)
    monkeypatch.chdir("/")
    assert source.read_volume("a.nii.gz").voxels.shape == SHAPE


@pytest.mark.parametrize("volume", ["../outside.nii.gz", "/etc/outside.nii.gz", "link.nii.gz"])
def test_a_path_that_leaves_the_folder_is_refused(table: Path, tmp_path_factory: pytest.TempPathFactory, volume: str):
    outside = tmp_path_factory.mktemp("outside") / "outside.nii.gz"
    write_volume(outside)
    (table.parent / "link.nii.gz").symlink_to(outside)
    write_table(table, [_row(volume)])
    with pytest.raises(DataError, match="outside"):
        ManifestSource(table)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"volume": "a.nii.gz", "findings": ""}], "lacks the column 'impression'; its columns are volume, findings"),
        ([_row("c.nii.gz")], r"c.nii.gz: does not exist, and line 2 of .*; correct the row"),
        ([_row("a.dcm")], "line 2 names the volume 'a.dcm'"),
        ([_row("a.nii.gz", split="test")], "line 2 has the split 'test'"),
    ],
)
def test_a_wrong_table_is_refused(table: Path, rows: list[Row], message: str) -> None:
    write_table(table, rows)
    with pytest.raises(DataError, match=message):
        ManifestSource(table)


def test_an_absent_and_an_empty_table_are_refused(table: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ManifestSource(table)
    table.write_text("volume,findings,impression\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no row"):
        ManifestSource(table)


def test_a_table_saved_by_a_spreadsheet_is_read(table: Path) -> None:
    text = '\ufeffvolume,findings,impression\r\na.nii.gz,"Heart, lungs:\n- normal.",\r\n\r\n'
    table.write_bytes(text.encode())
    (study,) = ManifestSource(table).studies()
    assert study.report.findings == "Heart, lungs:\n- normal."


def test_quarantine_and_padding(table: Path) -> None:
    voxels = chest()
    voxels[0] = -8192
    write_nifti(table.parent / "a.nii.gz", voxels, np.eye(4))
    write_table(table, [_row("a.nii.gz"), _row("sub/b.nii")])
    source = ManifestSource(table, padding_value=-8192, quarantine=["sub/b.nii"])
    assert [study.study_id for study in source.studies()] == ["a"]
    assert (source.read_volume("a.nii.gz").voxels[0] == -1000).all()
    assert source.identity != ManifestSource(table).identity


def test_ground_truth_lies_beside_the_table(table: Path) -> None:
    write_table(table, [_row("a.nii.gz"), _row("sub/b.nii")])
    write_truth(table.parent / "ground_truth" / "sub" / "b", np.ones(SHAPE))
    source = ManifestSource(table)
    assert [truth.mask for truth in source.ground_truth("sub/b.nii")] == ["01.nii.gz", None]
    assert source.organs("sub/b.nii") == {"trachea": "01.nii.gz"}
    assert source.read_mask("sub/b.nii", "01.nii.gz").voxels.all()
    assert list(source.ground_truth("a.nii.gz")) == []


def test_columns_of_an_index_are_no_labels(table: Path) -> None:
    write_table(table, [_row("a.nii.gz", best="yes", num_files=1, series_number=1, contrast_agent="no", Effusion=1)])
    assert ManifestSource(table).label_names == ("Effusion",)


def test_paths_may_be_relative_to_a_folder_that_is_named(table: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "tables/t.csv"
    write_table(elsewhere, [_row("a.nii.gz")])
    source = ManifestSource(elsewhere, table.parent)
    assert source.volume_file("a.nii.gz") == table.parent.resolve() / "a.nii.gz"
    assert len(source.studies()) == 1
    with pytest.raises(DataError, match="does not exist"):
        ManifestSource(elsewhere)
