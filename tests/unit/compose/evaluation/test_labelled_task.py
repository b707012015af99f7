"""Labels for probe, neighbours and fine-tuning: what is refused, what is left out, what is computed once."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from support.labelled_runs import Evaluate, Setting, evaluate, radchestct_options, write_radchestct

from simcrop.adapters.config.settings import load_config
from simcrop.compose.evaluation import task_features
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.labelled_task import begin_task
from simcrop.compose.evaluation.probe import knn, probe
from simcrop.core.errors import ConfigError, DataError, SimcropError
from simcrop.core.evaluation.readouts import token_rows

pytestmark = pytest.mark.usefixtures("one_thread")


def test_features_are_computed_once_for_all_that_need_them(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counting(encoder: Any, volume: torch.Tensor) -> torch.Tensor:
        read.append(len(volume))
        return token_rows(encoder, volume)

    monkeypatch.setattr(task_features, "token_rows", counting)
    options = (f"data.prepared={tmp_path / 'prepared'}", "seed=5")
    evaluate(probe, setting.findings, tmp_path / "few", *options, "labels.percent=50")
    assert sum(read) == 12 + 16
    first = evaluate(probe, setting.findings, tmp_path / "all", *options)
    assert sum(read) == 40
    evaluate(knn, setting.findings, tmp_path / "knn", *options)
    again = evaluate(probe, setting.findings, tmp_path / "again", *options)
    assert sum(read) == 40
    assert again["metrics"] == first["metrics"]
    evaluate(knn, setting.findings, tmp_path / "other", *options[:1], "seed=6")
    assert sum(read) == 80, "another encoder, other features"


def test_volumes_without_labels_are_refused_or_left_out(setting: Setting, tmp_path: Path) -> None:
    options = radchestct_options(write_radchestct(tmp_path / "rad", labelled=("trn",)))
    with pytest.raises(DataError, match=r"^val00000: has no label 'Pericardial effusion' \(one of 6 such studies\)"):
        evaluate(probe, setting.findings, tmp_path / "refused", *options)
    table = tmp_path / "rad" / "imgvalid_Abnormality_and_Location_Labels.csv"
    write_radchestct(tmp_path / "other")
    shutil.copy(tmp_path / "other" / table.name, table)
    (tmp_path / "rad" / "imgtrain_Abnormality_and_Location_Labels.csv").unlink()
    with pytest.raises(ConfigError, match="0 patients outside the test set"):
        evaluate(probe, setting.findings, tmp_path / "refused", *options, "labels.skip_unlabelled=true")


def with_blanks(manifest: Path, **blanks: str) -> str:
    """A setting that names the data with the label of some studies blank: study -> column."""
    with manifest.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row.update({blanks[row["study_id"]]: ""} if row["study_id"] in blanks else {})
    other = manifest.with_name("_".join(blanks) + ".csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return f"data.manifest={other}"


@pytest.mark.parametrize("names", ["[Bright]", "[]"])
def test_a_blank_label_of_a_table_is_refused_or_its_study_left_out(
    setting: Setting, tmp_path: Path, names: str
) -> None:
    table = setting.findings.parent / "studies" / "studies.csv"
    options = (with_blanks(table, s3="Bright", s25="Bright"), f"labels.names={names}")
    message = r"^s3: has no label 'Bright' \(one of 1 such studies\); add it .* labels\.skip_unlabelled=true$"
    with pytest.raises(DataError, match=message):
        evaluate(probe, setting.findings, tmp_path, *options)
    content = evaluate(probe, setting.findings, tmp_path, *options, "labels.skip_unlabelled=true")
    metrics = content["metrics"]
    assert "Bright" in metrics["labels"]
    assert (metrics["num_learned_from"], metrics["num_test"]) == (23, 15)
    assert "2 studies without a label were left out" in content["warnings"]


@pytest.mark.parametrize("what", [probe, knn, finetune])
def test_columns_that_a_table_of_rad_chestct_lacks_are_refused(
    setting: Setting, tmp_path: Path, what: Evaluate
) -> None:
    options = [*radchestct_options(write_radchestct(tmp_path / "rad")), "labels.names=[]"]
    message = (
        "^data: the table of labels of radchestct lacks the column 'breast_implant' of the label 'Medical material'"
    )
    with pytest.raises(DataError, match=message):
        evaluate(what, setting.findings, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("what", "options", "message"),
    [
        (probe, ["labels.names=[Brigt]"], "labels.names: 'Brigt' is no label column of the data .*mean 'Bright'"),
        (probe, ["labels.percent=3"], "labels.percent: 3 % of 12 patients outside the test set are 0, which leaves not "
                                      "even one to learn from and one to choose settings by; write at least 12.5"),
        (probe, ["labels.percent=20", "labels.names=[Rare]"],
         "single-class split: Rare has not both classes among the 4 studies learned from and among the 16 of the test"),
        (finetune, ["labels.percent=20", "labels.names=[Rare]"], "single-class split: Rare has not both classes"),
        (knn, ["labels.protocol=published"], "labels.protocol: the authors published a linear probe and no nearest"),
        (finetune, ["labels.protocol=published"], "labels.protocol: the authors published a linear probe and no fine"),
        (probe, ["labels.protocol=published", "probe.features=voxels"], "probe.features: the published protocol"),
        (probe, ["labels.protocol=published", "probe.steps=5", "probe.warmup_steps=5"], "probe.warmup_steps: 5 leaves"),
        (finetune, ["finetune.steps=0"], "finetune.steps: 0 measures a fine-tuned checkpoint, and no --checkpoint is"),
        (probe, ["labels.task=multiclass"], "s4: has 2 of the classes Bright, Noise, Rare, not exactly one; correct"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_one_line_with_the_remedy(
    setting: Setting, tmp_path: Path, what: Evaluate, options: list[str], message: str
) -> None:
    with pytest.raises(SimcropError, match=f"^{message}") as error:
        evaluate(what, setting.findings, tmp_path, *options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "metrics.json").exists()


def test_few_labels_leave_out_what_was_not_learned(setting: Setting, tmp_path: Path) -> None:
    content = evaluate(probe, setting.findings, tmp_path, "labels.percent=25")
    rare = content["metrics"]["labels"]["Rare"]
    learned = begin_task(load_config(setting.findings, ["labels.percent=25"]), None)
    assert rare["num_positive_learned"] == int(learned.truth[list(learned.split.both), 2].sum()) == 0
    assert rare["auroc"]["value"] is None
    assert any(warning.startswith("Rare: not measured") for warning in content["warnings"])
    assert content["metrics"]["labels"]["Bright"]["auroc"]["value"] == 1.0


def test_no_study_to_test_on_is_refused(setting: Setting, tmp_path: Path) -> None:
    table = setting.findings.parent / "studies" / "all_train.csv"
    table.write_text((table.parent / "studies.csv").read_text().replace("validation", "train"))
    with pytest.raises(DataError, match=r"^data: no study is held out to test on; raise data\.validation_fraction"):
        evaluate(probe, setting.findings, tmp_path, f"data.manifest={table}")
