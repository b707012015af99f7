"""Fine-tuning, and the classifier that it leaves."""

import json
from pathlib import Path

import pytest
from support.labelled_runs import Setting, evaluate

from simcrop import compose
from simcrop.adapters.system.provenance import weights_sha256
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.probe import probe
from simcrop.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.usefixtures("one_thread")


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


def test_a_run_folder_is_not_overwritten_by_a_classifier(setting: Setting) -> None:
    with pytest.raises(ConfigError, match="holds checkpoints of a run, which would be lost; name another folder"):
        evaluate(finetune, setting.findings, setting.run)
    assert compose.load_model(setting.run) is not None
