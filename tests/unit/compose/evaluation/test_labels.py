"""Probe, nearest neighbours and fine-tuning put together, on forty small studies."""

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support import labelled_data

from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation import labelled_task
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.labelled_task import begin_task
from simcrop.compose.evaluation.probe import knn, probe
from simcrop.compose.models import untrained_encoder
from simcrop.core.errors import CheckpointError, ConfigError, DataError, SimcropError
from simcrop.core.evaluation.features import probe_features

pytestmark = pytest.mark.usefixtures("one_thread")
Evaluate = Callable[..., bool]


@dataclass(frozen=True)
class Setting:
    """Studies with findings, the same with classes, and a run of two steps on the first."""

    findings: Path
    classes: Path
    run: Path


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("labels")
    findings = labelled_data.write_config(folder / "findings")
    classes = labelled_data.write_config(folder / "classes", exclusive=True)
    compose.train(load_config(findings), out=folder / "run")
    return Setting(findings, classes, folder / "run")


def evaluate(what: Evaluate, yaml: Path, out: Path, *options: str, checkpoint: Path | None = None) -> dict[str, Any]:
    """The whole metrics.json of an evaluation."""
    assert what(load_config(yaml, options), checkpoint=None if checkpoint is None else str(checkpoint), out=out)
    return json.loads((out / "metrics.json").read_text())


def test_a_probe_reads_what_is_there_and_nothing_else(setting: Setting, tmp_path: Path) -> None:
    content = evaluate(probe, setting.findings, tmp_path, checkpoint=setting.run)
    metrics = content["metrics"]
    assert metrics["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert 0.1 < metrics["labels"]["Noise"]["auroc"]["value"] < 0.9
    assert {name: metrics[name] for name in ("num_learned_from", "num_selection", "num_test")} == {
        "num_learned_from": 24,
        "num_selection": 4,
        "num_test": 16,
    }
    assert metrics["chosen"]["inverse_penalty"] in (0.01, 1.0)
    assert content["checkpoint"]["path"] == str(setting.run)
    assert content["checkpoint"]["encoder_sha256"] == weights_sha256(compose.load_encoder(setting.run))
    assert content["warnings"] == []
    assert {path.name for path in tmp_path.iterdir()} == {"metrics.json", "predictions.csv", "pictures"}
    assert (tmp_path / "pictures" / "roc.png").stat().st_size > 1000


def test_without_a_checkpoint_the_encoder_is_that_of_an_untrained_run(setting: Setting, tmp_path: Path) -> None:
    config = load_config(setting.findings, ["seed=3"])
    untrained, _ = compose.build_model(config, reports=lambda: ["The heart is normal."])
    assert weights_sha256(untrained_encoder(config)) == weights_sha256(untrained.encoder)
    content = evaluate(probe, setting.findings, tmp_path, "seed=3")
    assert content["checkpoint"]["encoder_sha256"] == weights_sha256(untrained.encoder)
    assert content["warnings"] == [labelled_task.UNTRAINED]


@pytest.mark.parametrize(("what", "section"), [(probe, "probe"), (knn, "knn")])
def test_voxels_can_be_read_instead(setting: Setting, tmp_path: Path, what: Evaluate, section: str) -> None:
    content = evaluate(what, setting.findings, tmp_path, f"{section}.features=voxels")
    assert content["metrics"]["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert content["metrics"]["chosen"]["features"] == "voxels"
    assert content["warnings"] == ["the features are the volumes' own voxels; no encoder was used"]


def test_features_are_computed_once_for_all_that_need_them(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def counting(encoder: Any, volume: torch.Tensor) -> torch.Tensor:
        read.append(len(volume))
        return probe_features(encoder, volume)

    monkeypatch.setattr(labelled_task, "probe_features", counting)
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


def test_neighbours_vote_for_findings_and_classes(setting: Setting, tmp_path: Path) -> None:
    metrics = evaluate(knn, setting.findings, tmp_path / "findings")["metrics"]
    assert metrics["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert metrics["chosen"]["neighbours"] in (1, 2, 5, 10, 20)
    classes = evaluate(knn, setting.classes, tmp_path / "classes")["metrics"]
    assert classes["accuracy"]["value"] == 1.0
    with pytest.raises(ConfigError, match=r"^knn.counts: \[50\] are all above the 20 studies to learn from"):
        evaluate(knn, setting.findings, tmp_path / "none", "knn.counts=[50]")


def test_classes_are_probed_by_one_softmax(setting: Setting, tmp_path: Path) -> None:
    metrics = evaluate(probe, setting.classes, tmp_path)["metrics"]
    assert metrics["labels_are"] == "exclusive classes"
    assert (metrics["accuracy"]["value"], metrics["f1_macro"]["value"]) == (1.0, 1.0)
    scores = np.loadtxt(tmp_path / "predictions.csv", delimiter=",", skiprows=1, usecols=4).reshape(16, 3)
    np.testing.assert_allclose(scores.sum(1), 1.0, atol=1e-6)


def test_fine_tuning_leaves_a_classifier_that_can_be_measured_and_taken_up_again(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = evaluate(finetune, setting.findings, tmp_path / "first", checkpoint=setting.run)
    assert first["metrics"]["labels"]["Bright"]["auroc"]["value"] == 1.0
    assert first["metrics"]["num_learned_from"] == 20
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {"metrics.json", "predictions.csv", "pictures", "checkpoints", "training.jsonl"}
    rows = [json.loads(line) for line in (tmp_path / "first" / "training.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert [row["step"] for row in rows if "selection_loss" in row] == [4, 8, 12]
    assert first["metrics"]["chosen"]["step"] in (4, 8, 12)

    capsys.readouterr()
    same = evaluate(finetune, setting.findings, tmp_path / "first", checkpoint=setting.run)
    assert "trained by an earlier call of the same configuration" in capsys.readouterr().out
    assert same["metrics"] == first["metrics"]

    again = evaluate(finetune, setting.findings, tmp_path / "again", "finetune.steps=0", checkpoint=tmp_path / "first")
    assert again["metrics"]["labels"] == first["metrics"]["labels"]
    assert again["metrics"]["auroc"] == first["metrics"]["auroc"]
    assert again["metrics"]["num_learned_from"] == 20

    before, after = compose.load_encoder(setting.run), compose.load_encoder(tmp_path / "first")
    assert weights_sha256(before) != weights_sha256(after)
    probed = evaluate(probe, setting.findings, tmp_path / "probed", checkpoint=tmp_path / "first")
    assert probed["checkpoint"]["encoder_sha256"] == weights_sha256(after)

    with pytest.raises(CheckpointError, match=r"is a classifier of 3 findings \(Bright, Noise, Rare\), and the data "
                       r"have 3 exclusive classes \(Left, Right, Air\); .*finetune.new_head=true$"):  # fmt: skip
        evaluate(finetune, setting.classes, tmp_path / "other", checkpoint=tmp_path / "first")
    options = ("finetune.new_head=true", "finetune.steps=2")
    evaluate(finetune, setting.classes, tmp_path / "other", *options, checkpoint=tmp_path / "first")


def test_a_stopped_fit_goes_on_and_ends_as_if_never_stopped(
    setting: Setting, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = evaluate(finetune, setting.findings, tmp_path / "undisturbed")
    config, out, asked = load_config(setting.findings), tmp_path / "stopped", iter([False] * 4 + [True])
    assert not finetune(config, checkpoint=None, out=out, should_stop=lambda: next(asked))
    assert "stopped; the same command goes on from here" in capsys.readouterr().out
    assert not (out / "metrics.json").exists()
    assert (out / "training").is_dir()
    found = evaluate(finetune, setting.findings, out)
    assert "continuing the training from step" in capsys.readouterr().out
    assert found["metrics"] == expected["metrics"]
    assert found["warnings"] == ["no --checkpoint: the encoder was trained from scratch on these labels alone"]
    rows = [(folder / "training.jsonl").read_text().splitlines() for folder in (out, tmp_path / "undisturbed")]
    clockless = [[json.loads(line) | {"studies_per_second": 0, "data_wait": 0} for line in each] for each in rows]
    assert clockless[0] == clockless[1]
    assert not (out / "training").exists()


def test_the_published_probe_names_its_faults(setting: Setting, tmp_path: Path) -> None:
    options = ("labels.protocol=published", "probe.steps=8", "probe.lr=0.1", "labels.names=[Bright]")
    content = evaluate(probe, setting.findings, tmp_path, *options, checkpoint=setting.run)
    metrics, warnings = content["metrics"], " ".join(content["warnings"])
    assert metrics["chosen"]["auroc"] == metrics["auroc"]["value"] == 1.0, "chosen on the test set itself"
    assert (metrics["num_learned_from"], metrics["num_selection"]) == (24, 0)
    assert (metrics["chosen"]["steps"], metrics["chosen"]["warmup_steps"]) == (8, 1)
    assert "the best step was chosen on the test set" in warnings
    assert "learning rate would rise again" in warnings
    assert (
        "published protocol: the authors' lists and their percentages count volumes; here the first reconstruction of "
        "each study alone is read (40 of 40 volumes), and labels.percent is of the 12 patients outside the test set"
    ) in content["warnings"]
    assert "no numbers for manifest at 100 %: those of ct_rate at 100 % are taken" in warnings
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json", "predictions.csv", "pictures", "training.jsonl"
    }  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    assert all("selection_loss" in row for row in rows), "one step is an epoch here"


def test_a_stopped_published_probe_goes_on(setting: Setting, tmp_path: Path) -> None:
    options = ["labels.protocol=published", "probe.steps=6", "probe.batch_size=5"]
    expected = evaluate(probe, setting.findings, tmp_path / "undisturbed", *options)
    asked = iter([False] * 2 + [True])
    config = load_config(setting.findings, options)
    assert not probe(config, checkpoint=None, out=tmp_path / "stopped", should_stop=lambda: next(asked))
    [weights] = (tmp_path / "stopped" / "training").glob("step_*/model.safetensors")
    assert weights.stat().st_size < 2000, "the encoder is not stored"
    found = evaluate(probe, setting.findings, tmp_path / "stopped", *options)
    assert found["metrics"] == expected["metrics"]


def write_radchestct(root: Path, *, labelled: tuple[str, ...] = ("trn", "val")) -> Path:
    root.mkdir()
    generator = np.random.default_rng(0)
    parts = {"trn": ("train", 12), "val": ("valid", 6)}
    for part, (name, count) in parts.items():
        lines = ["NoteAcc_DEID,pericardial_effusion*heart,pleural_effusion*left_lung,nodule*left_lung"]
        for number in range(count):
            voxels = generator.integers(-1000, -900, (20, 20, 20)).astype(np.int16)
            voxels[8:12] = 50 if number % 2 else 40
            voxels[:, 10:] = 60 if number % 3 else -800
            np.savez_compressed(root / f"{part}{number:05d}.npz", ct=voxels)
            lines.append(f"{part}{number:05d},{number % 2},{int(number % 3 > 0)},{int(number % 4 > 1)}")
        if part in labelled:
            (root / f"img{name}_Abnormality_and_Location_Labels.csv").write_text("\n".join(lines) + "\n")
    return root


def radchestct_options(root: Path) -> list[str]:
    grid = ["model.spacing_mm=[1.6,1.6,1.6]", f"data.prepared={root}_prepared"]
    grid += ["labels.names=[Pericardial effusion, Lung nodule, Pleural effusion]"]
    return [*grid, "data.source=radchestct", f"data.root={root}", "data.manifest=null"]


def test_the_copied_column_of_rad_chestct_is_reproduced_under_the_published_protocol(
    setting: Setting, tmp_path: Path
) -> None:
    options = radchestct_options(write_radchestct(tmp_path / "rad"))
    honest = evaluate(probe, setting.findings, tmp_path / "honest", *options)
    assert list(honest["metrics"]["labels"]) == ["Pericardial effusion", "Lung nodule", "Pleural effusion"]
    positives = {name: label["num_positive_test"] for name, label in honest["metrics"]["labels"].items()}
    assert (positives["Pericardial effusion"], positives["Pleural effusion"]) == (3, 4)

    options += ["labels.protocol=published", "probe.steps=4"]
    published = evaluate(probe, setting.findings, tmp_path / "published", *options)
    positives = {name: label["num_positive_test"] for name, label in published["metrics"]["labels"].items()}
    assert (positives["Pericardial effusion"], positives["Pleural effusion"]) == (4, 4)
    warnings = " ".join(published["warnings"])
    assert "the column Pericardial effusion is a copy of Pleural effusion" in warnings
    assert "chosen on the test set" not in warnings, "here the authors have a validation list of its own"
    assert "count volumes" not in warnings, "here every volume is a patient's only one"
    assert (published["metrics"]["num_learned_from"], published["metrics"]["num_selection"]) == (10, 2)


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


def test_a_run_folder_is_not_overwritten_by_a_classifier(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="holds checkpoints of a run, which would be lost; name another folder"):
        evaluate(finetune, setting.findings, setting.run)
    assert compose.load_model(setting.run) is not None


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
