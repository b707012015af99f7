"""The loaded model reads scans itself, and says what the commands say of them."""

import csv
import json
import re
import shutil
from functools import reduce
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from support import REPOSITORY, labelled_data
from support.labelled_runs import Setting, evaluate

import simcrop
from simcrop import compose
from simcrop.adapters.config.settings import load_config
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.adapters.formats.scan import ScanLike, read_scan
from simcrop.adapters.loading.own_volumes import SeenScan, look_at_centre
from simcrop.adapters.sources.own_scans import OwnScans
from simcrop.compose.applying import ScanOptions
from simcrop.compose.embedding import EmbedOptions, embed
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.locating import locate
from simcrop.compose.predicting import PredictOptions, predict
from simcrop.compose.trained import TrainedModel
from simcrop.core.errors import CheckpointError, ConfigError, DataError, InputError

SENTENCES = ["A bright region is seen.", "There is noise."]
PROMPTS = {"Bright": {"present": SENTENCES[:1], "absent": ["No bright region is seen."]}}
GRID = "data.prepared_size=[11, 11, 11]"
"""Larger than the model's volume by an odd number of voxels: its centre is half a voxel off the scan's."""


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("trained")
    findings = labelled_data.write_config(folder / "findings")
    compose.train(load_config(findings, [GRID]), out=folder / "run")
    return Setting(findings, findings, folder / "run")


@pytest.fixture(scope="module")
def model(setting: Setting) -> TrainedModel:
    return simcrop.load_model(setting.run)


@pytest.fixture(scope="module")
def scan(setting: Setting) -> Path:
    return next(OwnScans([setting.findings]).files())


def forms(path: Path) -> dict[str, ScanLike]:
    image = nib.load(path)
    assert isinstance(image, nib.Nifti1Image)
    return {
        "path": path,
        "text": str(path),
        "image": image,
        "array": (image.get_fdata(), image.affine),
        "read": read_scan(path),
    }


def test_every_form_of_a_scan_has_the_features_that_the_command_writes(
    setting: Setting, model: TrainedModel, scan: Path, tmp_path: Path
) -> None:
    for name in ("encoder", "layers"):
        options = EmbedOptions(name, scans=ScanOptions("cpu", 1, 1))
        (row,) = read_table(embed([scan], str(setting.run), tmp_path / name, options).path).values()
        for form in forms(scan).values():
            assert np.array_equal(model.embed(form, features=name).numpy(), row)


def test_a_scan_is_read_as_evaluation_sees_it(setting: Setting, model: TrainedModel, scan: Path) -> None:
    source = OwnScans([scan])
    seen = look_at_centre((source, (model.view.grid, model.recipe.volume_size, None)), source.studies()[0].study_id)
    assert isinstance(seen.found, SeenScan)
    encoder = simcrop.load_encoder(setting.run)
    for form in forms(scan).values():
        for reader in (model, encoder):
            volume = simcrop.read_for(reader, form)
            assert volume.shape == (1, 1, *model.recipe.volume_size)
            assert torch.equal(volume[0, 0], seen.found.voxels)
    tokens = encoder.encode(simcrop.read_for(encoder, scan), normalized=False, spacing_mm=encoder.spacing_mm)
    torch.testing.assert_close(tokens[:, 1:].mean(1)[0], model.embed(scan))
    assert torch.equal(encoder.embed(scan), model.embed(scan))


def test_zero_shot_says_what_predict_writes(setting: Setting, model: TrainedModel, scan: Path, tmp_path: Path) -> None:
    written = predict([scan], str(setting.run), tmp_path / "built-in", PredictOptions(scans=ScanOptions("cpu", 1, 1)))
    (row,) = read_table(written.path).values()
    told = model.predict(scan)
    assert len(told) == 18
    assert np.allclose([*told.values()], row, atol=1e-7)
    (tmp_path / "own.yaml").write_text(json.dumps(PROMPTS))
    own = model.zero_shot(scan, PROMPTS)
    assert own == model.zero_shot(scan, tmp_path / "own.yaml") == model.zero_shot(scan, str(tmp_path / "own.yaml"))
    assert own.keys() == {"Bright"}
    assert -2 <= own["Bright"] <= 2
    with pytest.raises(ConfigError, match="prompts: Bright needs the keys present and absent"):
        model.zero_shot(scan, {"Bright": {"present": SENTENCES}})
    with pytest.raises(ConfigError, match="prompts: Bright has terms"):
        model.zero_shot(scan, {"Bright": {"terms": ["bright"]}})


def test_sentences_become_features_each_by_itself(model: TrainedModel) -> None:
    both = model.encode_text(SENTENCES)
    assert both.shape == (2, model.recipe.projection_dim)
    assert torch.equal(both[1], model.encode_text([f"  {SENTENCES[1]} "])[0])
    with pytest.raises(InputError, match="sentences: is empty"):
        model.encode_text([])
    with pytest.raises(InputError, match="sentences: the model knows no word of '疑'"):
        model.encode_text(["疑"])


def test_maps_are_those_that_the_command_writes(
    setting: Setting, model: TrainedModel, scan: Path, tmp_path: Path
) -> None:
    written = locate(str(setting.run), scan, SENTENCES, [tmp_path / "map.nii.gz"])
    for form in forms(scan).values():
        found = model.locate(form, SENTENCES)
        assert [each.sentence for each in found] == SENTENCES
        for each, patches in zip(found, written, strict=True):
            heat = patches.onto(each.scan.shape, each.affine)
            assert np.array_equal(each.values, heat.values)
            assert (each.cosine, each.best_voxel, each.best_mm) == (heat.cosine, heat.best_voxel, heat.best_mm)
        assert model.references is not None
        features = model.encode_text(SENTENCES)
        for each, patches, sentence in zip(found, written, features, strict=True):
            assert each.standing == model.references.standing(sentence, float(patches.patches.max()))
            assert each.standing.text in each.facts
    (one,) = model.locate(scan, SENTENCES[0])
    file = nib.load(tmp_path / "map_1.nii.gz")
    assert isinstance(file, nib.Nifti1Image)
    np.testing.assert_allclose(one.to_nibabel().get_fdata(), file.get_fdata(), atol=1e-6)
    assert np.allclose(one.to_nibabel().affine, file.affine, atol=1e-6)


def test_a_map_shows_itself_in_a_notebook(model: TrainedModel, scan: Path) -> None:
    (found,) = model.locate(scan, "<b>A bright</b> region is seen.")
    shown = found._repr_html_()
    assert shown.startswith("<img alt=")
    assert "data:image/png;base64,iVBOR" in shown
    assert "<b>" not in shown
    assert f"cosine {found.cosine:.3f}" in repr(found)


def test_a_classifier_says_what_evaluation_measured(setting: Setting, scan: Path, tmp_path: Path) -> None:
    evaluate(finetune, setting.findings, tmp_path / "tuned", GRID, checkpoint=setting.run)
    classifier = simcrop.load_classifier(tmp_path / "tuned")
    with (tmp_path / "tuned/predictions.csv").open() as file:
        line = next(line for line in csv.DictReader(file) if line["label"] == "Noise")
    study = scan.with_name(f"{line['study_id'][1:]}.nii.gz")
    told = classifier.predict(study)
    assert told.keys() == set(classifier.labels)
    assert told["Noise"] == pytest.approx(float(line["score"]), abs=1e-6)
    with pytest.raises(CheckpointError, match="is no classifier"):
        simcrop.load_classifier(setting.run)
    with pytest.raises(CheckpointError):
        simcrop.load_model(tmp_path / "tuned")


def test_what_is_no_scan_is_refused(model: TrainedModel, scan: Path) -> None:
    image = nib.load(scan)
    assert isinstance(image, nib.Nifti1Image)
    with pytest.raises(InputError, match="scan: is a ndarray; give a path"):
        model.embed(image.get_fdata())
    with pytest.raises(DataError, match="does not exist"):
        model.embed("nowhere.nii.gz")


def test_the_guide_runs_as_it_stands(
    setting: Setting, scan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(setting.run, tmp_path / "runs/pretrain")
    shutil.copy(scan, tmp_path / "scan.nii.gz")
    evaluate(finetune, setting.findings, tmp_path / "runs/pretrain/eval/finetune", GRID, checkpoint=setting.run)
    monkeypatch.chdir(tmp_path)
    guide = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    study = ("scan.nii.gz", "A bright region is seen. There is noise.")
    names: dict[str, Any] = {"scans": [("scan.nii.gz", torch.ones(1, 1))], "studies": {"a": study}}
    here = {
        'thresholds["Lung nodule"]': 'thresholds["Bright"]',
        ".cuda()": "",
        ', device="cuda"': "",
        "simcrop.pth": "runs/pretrain",
    }
    for code in blocks:
        exec(reduce(lambda text, known: text.replace(*known), here.items(), code), names)
    assert names["loss"].item() > 0
    assert names["features"].shape == (12,)
    assert len(names["scores"]) == 18
    made = [read_table(Path(f"{name}.npz")) for name in ("volumes", "reports")]
    assert [{name: len(row) for name, row in rows.items()} for rows in made] == 2 * [{"a": names["patches"].shape[1]}]


def test_the_notebook_runs_as_it_stands(setting: Setting, scan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((REPOSITORY / "docs/examples/own_scans.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert cells[0].startswith("CHECKPOINT = ")
    names: dict[str, Any] = {"CHECKPOINT": str(setting.run), "SCAN": str(scan)}
    for code in cells[1:]:
        exec(code, names)
    assert len(names["maps"]) == 2
    assert "True\n" in capsys.readouterr().out
    shown = [output for cell in notebook["cells"] for output in cell.get("outputs", []) if "data" in output]
    assert all("text/html" in output["data"] for output in shown)
    assert len(shown) == 2
