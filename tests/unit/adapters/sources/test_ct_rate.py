"""CT-RATE's layout: studies, splits, labels, what voxels mean, and ground truth."""

import csv
import gzip
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from openpyxl import Workbook
from support.data_folders import AFFINE, FINDINGS, SHAPE, chest, write_ct_rate, write_table, write_truth, write_volume

from simcrop.adapters.config.run import DataSettings
from simcrop.adapters.formats.nifti import write_nifti
from simcrop.adapters.sources.ct_rate import CTRateSource, HuDeclaration
from simcrop.adapters.sources.registry import build_source
from simcrop.core.data.problems import Problem
from simcrop.core.data.study import Report, SentenceTruth
from simcrop.core.errors import DataError

NAMES = ["train_1_a_1", "train_1_a_2", "train_1_b_1", "train_2_a_1", "valid_1_a_1"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_ct_rate(tmp_path, NAMES)
    return tmp_path


def _file(root: Path, name: str = "train_2_a_1") -> Path:
    return CTRateSource(root).volume_file(name)


def test_reconstructions_of_a_scan_are_one_study(root: Path) -> None:
    source = CTRateSource(root)
    studies = {study.study_id: study for study in source.studies()}
    assert list(studies) == ["train_1_a", "train_1_b", "train_2_a", "valid_1_a"]
    assert studies["train_1_a"].reconstructions == ("train_1_a_1", "train_1_a_2")
    assert [s.patient_id for s in studies.values()] == ["train_1", "train_1", "train_2", "valid_1"]
    assert [s.split for s in studies.values()] == ["train", "train", "train", "validation"]
    assert studies["train_1_b"].report == Report(FINDINGS, "Not given.")
    assert source.label_names == ("Emphysema", "Lung nodule")
    assert studies["train_2_a"].labels == {"Emphysema": 1, "Lung nodule": 1}
    assert studies["valid_1_a"].labels == {"Emphysema": 0, "Lung nodule": 1}


def test_a_label_that_one_split_lacks_is_known_of_the_other(root: Path) -> None:
    table = root / "multi_abnormality_labels" / "valid_predicted_labels.csv"
    write_table(table, [{"VolumeName": "valid_1_a_1.nii.gz", "Mass": 1, "Lung nodule": 1}])
    source = CTRateSource(root)
    assert source.label_names == ("Emphysema", "Lung nodule", "Mass")
    labels = {study.study_id: set(study.labels) for study in source.studies()}
    assert labels["train_2_a"] == {"Emphysema", "Lung nodule"}
    assert labels["valid_1_a"] == {"Mass", "Lung nodule"}


def test_volumes_are_read_in_hu(root: Path) -> None:
    volume = CTRateSource(root).read_volume("train_1_a_2")
    assert torch.equal(volume.voxels, torch.from_numpy(chest(1)))
    np.testing.assert_allclose(volume.affine, AFFINE)


def test_a_partial_download_is_used_and_the_rest_counted(root: Path) -> None:
    _file(root, "train_1_a_1").unlink()
    _file(root, "train_2_a_1").unlink()
    source = CTRateSource(root)
    assert source.num_missing == 2
    assert [s.reconstructions for s in source.studies()] == [("train_1_a_2",), ("train_1_b_1",), ("valid_1_a_1",)]


def test_without_any_volume_the_folder_is_refused(root: Path) -> None:
    for name in NAMES:
        _file(root, name).unlink()
    with pytest.raises(DataError, match=r"dataset: holds no volume of the report tables' 5 rows; correct data.root"):
        CTRateSource(root)


def test_listing_opens_no_volume(root: Path) -> None:
    for name in NAMES:
        _file(root, name).write_bytes(b"")
    source = CTRateSource(root)
    assert len(source.studies()) == 4
    with pytest.raises(DataError, match="is empty"):
        source.read_volume("train_1_a_1")


def test_quarantined_volumes_are_left_out(root: Path) -> None:
    source = CTRateSource(root, quarantine=["train_2_a_1.nii.gz", "train_1_a_2"])
    assert [name for study in source.studies() for name in study.reconstructions] == [
        "train_1_a_1",
        "train_1_b_1",
        "valid_1_a_1",
    ]
    assert source.num_missing == 0


def test_a_list_of_scans_of_other_parts_of_the_body_is_taken_as_it_comes_with_the_data(root: Path) -> None:
    """Its lines are names of files, with folders or without; what was not downloaded is said."""
    lines = ["train_2_a_1.nii.gz", "dataset/train/train_1/train_1_a/train_1_a_2.nii.gz", "train_1_b", "train_9_a_1"]
    (root / "no_chest_train.txt").write_text("\n".join(lines))
    source = build_source(DataSettings(source="ct_rate", root=root, exclude=root / "no_chest_train.txt"))
    names = [name for study in source.studies() for name in study.reconstructions]
    assert names == ["train_1_a_1", "valid_1_a_1"]
    assert "leaves out 3 volumes (train_2_a_1, train_1_a_2, train_1_b_1); 1 of its 4 names" in source.exclusion_note


def test_the_second_release_is_preferred_unless_raw_is_declared(tmp_path: Path) -> None:
    write_ct_rate(tmp_path, ["train_1_a_1"])
    write_ct_rate(tmp_path, ["train_1_a_1"], split_folder="_fixed")
    assert "train_fixed" in CTRateSource(tmp_path).volume_file("train_1_a_1").parts
    assert "train_fixed" not in CTRateSource(tmp_path, hu="raw+csv").volume_file("train_1_a_1").parts


@pytest.mark.parametrize("intercept", [-1024, -8192])
def test_raw_values_are_rescaled_by_the_metadata_table(root: Path, intercept: int) -> None:
    write_nifti(_file(root), (chest() - intercept).astype(np.int16), AFFINE)
    row = {"VolumeName": "train_2_a_1.nii.gz", "RescaleSlope": "1", "RescaleIntercept": intercept}
    write_table(root / "metadata" / "train_metadata.csv", [row])
    volume = CTRateSource(root, hu="raw+csv").read_volume("train_2_a_1")
    assert torch.equal(volume.voxels, torch.from_numpy(chest()))


def told(source: CTRateSource, name: str = "train_2_a_1") -> list[str]:
    """Codes of what is wrong with a volume, but for notes."""
    problems: list[Problem] = []
    source.inspect(name, problems.append)
    return [problem.code for problem in problems if problem.severity == "error"]


@pytest.mark.parametrize(
    ("stored", "hu", "code"),
    [
        (chest() + 1024, "hu", "content.raw_values"),
        (chest() + 8192, "header", "content.raw_values"),
        (chest(), "raw+csv", "content.hu_twice"),
        (chest(), "hu", None),
        (chest() + 1024, "raw+csv", None),
    ],
)
def test_a_wrong_declaration_is_seen_in_the_voxels(
    root: Path, stored: np.ndarray, hu: HuDeclaration, code: str | None
) -> None:
    write_nifti(_file(root), stored.astype(np.int16), AFFINE)
    row = {"VolumeName": "train_2_a_1.nii.gz", "RescaleSlope": "1", "RescaleIntercept": "-1024"}
    write_table(root / "metadata" / "train_metadata.csv", [row])
    assert told(CTRateSource(root, hu=hu)) == ([] if code is None else [code])


def test_a_header_that_rescales_contradicts_hu(root: Path) -> None:
    path = _file(root)
    data = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into("<2f", data, 112, 1.0, -1024.0)
    path.write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match=r"declare data\.hu: header"):
        CTRateSource(root).read_volume("train_2_a_1")
    assert told(CTRateSource(root)) == ["content.scaled"]
    assert told(CTRateSource(root, hu="header")) == ["content.hu_twice"]


def test_a_volume_without_metadata_cannot_be_rescaled(root: Path) -> None:
    with pytest.raises(DataError, match="no row in the metadata tables"):
        CTRateSource(root, hu="raw+csv").read_volume("train_2_a_1")


def test_declared_padding_is_read_as_air(root: Path) -> None:
    voxels = chest()
    voxels[:, :2] = -8192
    write_nifti(_file(root), voxels, AFFINE)
    read = CTRateSource(root, padding_value=-8192).read_volume("train_2_a_1").voxels
    assert (read[:, :2] == -1000).all()
    assert torch.equal(read[:, 2:], torch.from_numpy(voxels[:, 2:]))


def test_what_changes_the_voxels_changes_the_identity(root: Path) -> None:
    declared = [CTRateSource(root), CTRateSource(root, hu="header"), CTRateSource(root, padding_value=-8192)]
    assert len({source.identity for source in declared}) == 3
    assert CTRateSource(root).identity == CTRateSource(root).identity


def test_ground_truth_is_read_where_there_is_some(root: Path) -> None:
    mask = np.zeros(SHAPE)
    mask[3, 4, 5] = 1
    write_truth(root / "ground_truth" / "train_1_a_1", mask)
    source = CTRateSource(root)
    assert list(source.ground_truth("train_1_a_1")) == [
        SentenceTruth("A nodule.", "Lung nodule", True, "01.nii.gz"),
        SentenceTruth("Normal.", None, False, None),
    ]
    assert source.organs("train_1_a_1") == {"trachea": "01.nii.gz"}
    assert torch.equal(source.read_mask("train_1_a_1", "01.nii.gz").voxels, torch.from_numpy(mask).short())
    assert list(source.ground_truth("train_1_a_2")) == []
    assert source.organs("train_1_a_2") == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"version": 2}', "no version 1"),
        ('{"version": 1}', "misses 'sentences'; expected"),
        ('{"version": 1, "sentences": {"text": "A."}}', "has {\"text\": \"A.\"} as 'sentences'; expected [{"),
        ('{"version": 1, "sentences": [{"text": "A."}]}', "entry 1 of 'sentences' misses 'finding'; expected {"),
        ('{"version": 1, "sentences": [%s, "A nodule."]}', "entry 2 of 'sentences' is \"A nodule.\"; expected {"),
        ('{"version": 1, "sentences": [null]}', "entry 1 of 'sentences' is null; expected {"),
        ('{"version": 1, "sentences": [%s, {"text": 1, "finding": "", "present": true, "mask": null}]}',
         "entry 2 of 'sentences' has 1 as 'text'; expected {"),
        ('{"version": 1, "sentences": [{"text": "A.", "finding": null, "present": "false", "mask": null}]}',
         "entry 1 of 'sentences' has \"false\" as 'present'; expected {"),
        ('{"version": 1, "sentences": [{"text": "A.", "finding": null, "present": true, "mask": ["a.nii.gz"]}]}',
         "entry 1 of 'sentences' has [\"a.nii.gz\"] as 'mask'; expected {"),
        ('{"version": 1, "sentences": [], "organs": ["heart"]}', "has [\"heart\"] as 'organs'; expected {\"NAME\""),
        ('{"version": 1, "sentences": [], "organs": {"heart": "../heart.nii.gz"}}', "file in the same folder"),
        ('{"version": 1, "sentences": [], "organs": {"heart": 3}}', "names the mask 3; it must be the name of a file"),
    ],
)  # fmt: skip
def test_damaged_ground_truth_is_refused(root: Path, content: str, message: str) -> None:
    path = root / "ground_truth" / "train_1_a_1" / "sentences.json"
    path.parent.mkdir(parents=True)
    whole = '{"text": "Normal.", "finding": null, "present": false, "mask": null}'
    path.write_text(content.replace("%s", whole), encoding="utf-8")
    with pytest.raises(DataError, match=re.escape(message)) as error:
        CTRateSource(root).ground_truth("train_1_a_1")
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_mask_outside_its_folder_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="file in the same folder"):
        CTRateSource(root).read_mask("train_1_a_1", "../train_1_a_2/01.nii.gz")


def _rewrite(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        ("radiology_text_reports/train_reports.csv", "Findings_EN", "Findings", "lacks the column 'Findings_EN'"),
        ("radiology_text_reports/train_reports.csv", "train_2_a_1", "../x", r"line 5 names the volume '../x"),
        ("radiology_text_reports/train_reports.csv", "train_2_a_1", "valid_2_a_1", "expected train_1_a_1.nii.gz"),
        ("radiology_text_reports/train_reports.csv", "Not given.\n", "Not given.,x\n", "6 values for 5 columns"),
        ("radiology_text_reports/train_reports.csv", "Not given.", '"Not" given', "cannot be read as CSV"),
        ("multi_abnormality_labels/train_predicted_labels.csv", "1_b_1.nii.gz,0", "1_b_1.nii.gz,7", "'7' as 'Emph"),
    ],
)
def test_a_wrong_table_is_refused_by_name(root: Path, table: str, old: str, new: str, message: str) -> None:
    path = root / table
    _rewrite(path, "\r\n", "\n")
    _rewrite(path, old, new)
    with pytest.raises(DataError, match=message) as refused:
        CTRateSource(root)
    assert str(path) in str(refused.value)


def test_an_empty_folder_and_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither train_reports\.csv nor"):
        CTRateSource(tmp_path)
    write_volume(tmp_path / "radiology_text_reports" / "v.nii.gz")
    (tmp_path / "radiology_text_reports" / "v.nii.gz").rename(tmp_path / "radiology_text_reports" / "train_reports.csv")
    with pytest.raises(DataError, match=r"train_reports\.csv: is packed by gzip"):
        CTRateSource(tmp_path)


def test_metadata_that_is_no_number_is_refused(root: Path) -> None:
    row = {"VolumeName": "train_2_a_1.nii.gz", "RescaleSlope": "one", "RescaleIntercept": "-1024"}
    write_table(root / "metadata" / "train_metadata.csv", [row])
    with pytest.raises(DataError, match="line 2 has no usable number"):
        CTRateSource(root, hu="raw+csv").read_volume("train_2_a_1")


@pytest.mark.parametrize("cell", ["", "nan", "?", "unclear", "-1"])
def test_a_label_that_nobody_knows_is_left_out_of_its_study(root: Path, cell: str) -> None:
    _rewrite(root / "multi_abnormality_labels/train_predicted_labels.csv", "1_b_1.nii.gz,0", f"1_b_1.nii.gz,{cell}")
    labels = {study.study_id: study.labels for study in CTRateSource(root).studies()}
    assert labels["train_1_b"] == {"Lung nodule": 1}
    assert set(labels["train_2_a"]) == {"Emphysema", "Lung nodule"}


def test_tables_may_be_saved_by_excel_in_any_of_its_ways(root: Path) -> None:
    before = CTRateSource(root).studies()
    reports = root / "radiology_text_reports/train_reports.csv"
    reports.write_bytes(
        reports.read_text(encoding="utf-8").replace(",", ";").replace("nii.gz", "NII.GZ").encode("utf-16")
    )
    labels = root / "multi_abnormality_labels/train_predicted_labels.csv"
    workbook = Workbook()
    for row in csv.reader(labels.read_text(encoding="utf-8").splitlines()):
        workbook.active.append([float(cell) if cell.isdigit() else cell for cell in row])
    workbook.active.append([None, None])
    workbook.save(labels.with_suffix(".xlsx"))
    labels.unlink()
    assert CTRateSource(root).studies() == before


def test_a_row_without_a_name_is_told_by_its_line_unless_it_says_nothing(root: Path) -> None:
    with (root / "multi_abnormality_labels/train_predicted_labels.csv").open("a", encoding="utf-8") as file:
        file.write(",,\r\nnan,nan,nan\r\nnan,1,0\r\n")
    told: list[Problem] = []
    CTRateSource(root, on_problem=told.append)
    assert [(found.code, found.severity) for found in told] == [("text.value", "error"), ("text.blank_rows", "note")]
    assert told[0].message.endswith("has no VolumeName")
