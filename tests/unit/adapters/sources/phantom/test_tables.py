"""The tables beside phantoms: CT-RATE's columns, and a row a volume."""

import csv
from pathlib import Path

from simcrop.adapters.sources.label_tables import LABELS


def test_the_tables_have_ct_rates_columns_and_a_row_a_volume(phantoms: Path) -> None:
    volumes = {path.name for path in phantoms.glob("dataset/*/*/*/*.nii.gz")}
    for table, columns in {
        "radiology_text_reports/{}_reports.csv": {"VolumeName", "Findings_EN", "Impressions_EN"},
        "metadata/{}_metadata.csv": {"VolumeName", "RescaleIntercept", "RescaleSlope", "XYSpacing", "ZSpacing"},
    }.items():
        rows = []
        for split in ("train", "validation"):
            with (phantoms / table.format(split)).open(newline="") as file:
                rows += list(csv.DictReader(file))
        assert columns <= set(rows[0])
        assert {row["VolumeName"] for row in rows} == volumes
    with (phantoms / "multi_abnormality_labels/train_predicted_labels.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["VolumeName", *LABELS]
