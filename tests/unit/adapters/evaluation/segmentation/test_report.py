"""Means, intervals and rows of a segmentation."""

import math
from pathlib import Path

import pytest
import torch

pytest.importorskip("monai", reason="MONAI is not installed")

from rich.console import Console

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.output import Evaluation
from simcrop.adapters.evaluation.segmentation.report import segmentation_evaluation
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy
from simcrop.core.data.study import Report, Study

NAN = math.nan


def segmented(out: Path, number: int, dice: list[float], patient: str | None = None) -> SegmentedStudy:
    study = Study(f"s{number}", patient or f"p{number}", Report("", ""), (f"v{number}.nii.gz",))
    file = out.resolve() / "predictions" / f"v{number}.nii.gz"
    own, distances = [d / 2 for d in dice], [10 * d for d in dice]
    return SegmentedStudy(study, file, dice, 0.98, own, distances, [1.0, 2.0], [3.0, 0.0])


def evaluated(
    out: Path,
    studies: list[SegmentedStudy],
    intervals: EvaluationSettings | None = None,
    *,
    with_background: bool = False,
) -> Evaluation:
    return segmentation_evaluation(
        studies,
        ["lung", "heart"],
        intervals=intervals or EvaluationSettings(bootstrap=200),
        seed=0,
        with_background=with_background,
        about={"steps": 7},
        title="Segmentation",
        out=out,
        figures={},
        warnings=["a note"],
    )


def test_means_are_over_studies_that_have_the_class_and_then_over_classes(tmp_path: Path) -> None:
    studies = [segmented(tmp_path, 0, [0.9, NAN]), segmented(tmp_path, 1, [0.7, 0.4])]
    result = evaluated(tmp_path, studies)
    metrics = result.metrics
    assert metrics["per_class"]["lung"]["dice"]["value"] == pytest.approx(0.8)
    assert metrics["per_class"]["heart"]["dice"]["value"] == pytest.approx(0.4)
    assert metrics["dice"]["value"] == pytest.approx(0.6)
    assert metrics["dice_own_grid"]["value"] == pytest.approx(0.3)
    assert metrics["hausdorff95_mm"]["value"] == pytest.approx(6.0)
    assert [metrics["per_class"][name]["num_studies"] for name in ("lung", "heart")] == [2, 1]
    assert (metrics["classes"], metrics["num_studies"], metrics["steps"]) == (["background", "lung", "heart"], 2, 7)
    assert (result.task, result.warnings) == ("segment", ["a note"])


def test_rows_name_every_study_and_class(tmp_path: Path) -> None:
    result = evaluated(tmp_path, [segmented(tmp_path, 3, [0.9, NAN])])
    rows = [dict(zip(result.predictions.columns, row, strict=True)) for row in result.predictions.rows]
    assert rows[0] == {
        "study_id": "s3",
        "volume": "v3.nii.gz",
        "class": "lung",
        "dice": "0.9000",
        "dice_own_grid": "0.4500",
        "hausdorff95_mm": "9.0000",
        "volume_ml": "1.0000",
        "true_volume_ml": "3.0000",
        "file": "predictions/v3.nii.gz",
    }
    assert (rows[1]["class"], rows[1]["dice"], rows[1]["true_volume_ml"]) == ("heart", "", "0.0000")


def test_intervals_are_over_patients(tmp_path: Path) -> None:
    draws = torch.rand(12, generator=torch.Generator().manual_seed(0)).tolist()
    apart = [segmented(tmp_path, number, [dice, dice]) for number, dice in enumerate(draws)]
    together = [segmented(tmp_path, number, [dice, dice], "one") for number, dice in enumerate(draws)]
    _, low, high = evaluated(tmp_path, apart).metrics["dice"].values()
    assert low < sum(draws) / 12 < high
    assert 0.05 < high - low < 0.6
    _, low, high = evaluated(tmp_path, together).metrics["dice"].values()
    assert low == pytest.approx(high), "studies of a single patient are drawn together"


def test_without_draws_there_are_no_intervals(tmp_path: Path) -> None:
    result = evaluated(tmp_path, [segmented(tmp_path, 0, [0.5, 0.5])], EvaluationSettings(bootstrap=0))
    value, low, high = result.metrics["dice"].values()
    assert (value, math.isnan(low), math.isnan(high)) == (0.5, True, True)


def test_the_table_has_a_line_for_each_class_and_their_mean(tmp_path: Path) -> None:
    result = evaluated(tmp_path, [segmented(tmp_path, 0, [0.9, NAN]), segmented(tmp_path, 1, [0.7, NAN])])
    console = Console(width=110, record=True)
    console.print(result.table)
    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["lung", "0.800", "0.700", "-", "0.900", "0.400", "8.0", "2"] in lines
    assert ["heart", "-", "-", "-", "0"] in lines
    assert ["mean", "over", "classes", "0.800", "0.700", "-", "0.900", "0.400", "8.0", "2"] in lines
    assert not any("background" in line for line in lines)


def test_a_mean_with_the_background_stands_beside_the_other_where_it_is_asked_for(tmp_path: Path) -> None:
    studies = [segmented(tmp_path, 0, [0.9, NAN]), segmented(tmp_path, 1, [0.7, 0.4])]
    plain, result = (evaluated(tmp_path, studies, with_background=wanted) for wanted in (False, True))
    assert "dice_with_background" not in plain.metrics
    metrics = dict(result.metrics)
    assert metrics.pop("dice_with_background")["value"] == pytest.approx((0.98 + 0.8 + 0.4) / 3)
    assert metrics == plain.metrics
    console = Console(width=110, record=True)
    console.print(result.table)
    [line] = [line for line in console.export_text().splitlines() if "mean with background" in line]
    assert line.replace("│", " ").split()[3] == "0.727"
