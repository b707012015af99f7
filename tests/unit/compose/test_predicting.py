"""`simcrop predict` in this process: the numbers that evaluation measures, of scans that have no label."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.labelled_runs import Setting, evaluate
from support.labelled_runs import trained as trained_run
from support.scan_pages import data_of

import simcrop
from simcrop.adapters.formats.feature_tables import read_table
from simcrop.adapters.pages import html
from simcrop.compose.applying import Applied, ScanOptions
from simcrop.compose.evaluation.finetune import finetune
from simcrop.compose.evaluation.probe import probe
from simcrop.compose.evaluation.zeroshot import zeroshot
from simcrop.compose.predicting import PredictOptions, predict
from simcrop.core.errors import CheckpointError, ConfigError
from simcrop.core.reports.prompts import WORDS

PROMPTS = """
Bright:
  present: [A bright region is seen.]
  absent: [No bright region is seen.]
Noise:
  present: [There is noise., Noise is observed.]
  absent: [There is no noise.]
"""


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return trained_run(tmp_path_factory.mktemp("predict"))


@pytest.fixture
def viewer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "viewer.js").write_text("var niivue = {};")
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "viewer.js")


def predicted(config: Path, checkpoint: Path, out: Path, prompts: Path | None = None) -> Applied:
    return predict([config], str(checkpoint), out, PredictOptions(prompts, scans=ScanOptions("cpu", 16, 1)))


def pages_of(config: Path, checkpoint: Path, out: Path, prompts: Path | None = None) -> list[Path]:
    options = PredictOptions(prompts, scans=ScanOptions("cpu", 16, 1), has_pages=True)
    result = predict([config.parent / f"studies/{number}.nii.gz" for number in (0, 1)], str(checkpoint), out, options)
    assert result.pages == out / "pages"
    pages = sorted(result.pages.rglob("*.html"))
    assert [page.name for page in pages] == ["0.nii.gz.html", "1.nii.gz.html"]
    return pages


def columns(path: Path) -> list[str]:
    with path.open() as file:
        return next(csv.reader(file))


def require_same(rows: Mapping[str, np.ndarray], names: Sequence[str], measured: Path, column: str) -> None:
    """Of all that evaluation has measured; the study s7 has the volume 7.nii.gz."""
    with measured.open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) >= 16 * 2
    for line in lines:
        own = rows[f"{line['study_id'][1:]}.nii.gz"][names.index(line[column])]
        assert own == pytest.approx(float(line["score"]), abs=1e-6)


def test_a_classifier_gives_the_probabilities_that_evaluation_measures(setting: Setting, tmp_path: Path) -> None:
    evaluate(finetune, setting.findings, tmp_path / "tuned", checkpoint=setting.run)
    result = predicted(setting.findings, tmp_path / "tuned", tmp_path / "out")
    rows = read_table(result.path)
    names = columns(result.path)[1:]
    assert result.done == len(rows) == 40
    assert {"Bright", "Noise"} <= set(names)
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["numbers"] == "probabilities of findings, each by itself"
    require_same(rows, names, tmp_path / "tuned/predictions.csv", "label")
    thresholds = about["thresholds"]
    assert {name: thresholds[name] is not None for name in ("Bright", "Noise")} == {"Bright": True, "Noise": True}
    for name, threshold in thresholds.items():
        for row in rows.values():
            said, decided = row[names.index(name)], row[names.index(f"{name}: present")]
            assert np.isnan(decided) if threshold is None else decided == (said >= threshold)
    assert simcrop.load_classifier(tmp_path / "tuned").thresholds["Bright"] == thresholds["Bright"]


def test_sentences_give_the_scores_that_evaluation_measures(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    result = predicted(setting.findings, setting.run, tmp_path / "out", tmp_path / "prompts.yaml")
    assert columns(result.path) == ["scan", "Bright", "Noise"]
    option = f"zeroshot.prompts={tmp_path / 'prompts.yaml'}"
    names = "labels.names=[Bright, Noise]"
    evaluate(zeroshot, setting.findings, tmp_path / "measured", option, names, checkpoint=setting.run)
    require_same(read_table(result.path), ["Bright", "Noise"], tmp_path / "measured/predictions.csv", "finding")
    about = json.loads((tmp_path / "out/predictions.json").read_text())
    assert about["prompts"]["Noise"]["present"] == ["There is noise.", "Noise is observed."]
    assert "no probability" in about["numbers"]


def test_prompts_that_come_with_simcrop_make_a_column_of_each_organ(setting: Setting, tmp_path: Path) -> None:
    result = predicted(setting.findings, setting.run, tmp_path / "out", Path("configs/prompts/organs.yaml"))
    names = columns(result.path)
    assert (len(names), names[:3]) == (19, ["scan", "Lung", "Airways"])
    assert all(np.isfinite(row).all() for row in read_table(result.path).values())


def test_without_prompts_the_findings_are_those_of_ct_rate(setting: Setting, tmp_path: Path) -> None:
    result = predicted(setting.findings, setting.run, tmp_path / "out")
    assert columns(result.path) == ["scan", *WORDS]
    assert all(np.isfinite(row).all() for row in read_table(result.path).values())


@pytest.mark.usefixtures("viewer")
def test_a_page_has_the_numbers_of_the_row(setting: Setting, tmp_path: Path) -> None:
    evaluate(probe, setting.findings, tmp_path / "probe", checkpoint=setting.run)
    (tmp_path / "prompts.yaml").write_text(PROMPTS)
    for checkpoint, prompts, measure in (
        (tmp_path / "probe", None, "probability"),
        (setting.run, tmp_path / "prompts.yaml", "score"),
    ):
        out = tmp_path / measure
        pages = pages_of(setting.findings, checkpoint, out, prompts)
        names, rows = columns(out / "predictions.csv")[1:], read_table(out / "predictions.csv")
        for page, row in zip(pages, rows.values(), strict=True):
            data = data_of(page)
            assert data["measure"] == measure
            shown = {entry["title"]: entry for entry in data["shown"]}
            assert [*shown] == [name for name in names if not name.endswith(": present")]
            for name, entry in shown.items():
                assert entry["score"] == pytest.approx(row[names.index(name)], abs=1e-6)
                if measure == "score":
                    assert entry["map"] is not None
                    assert entry["notes"][0].endswith(".")
                else:
                    decided = {0: "absent", 1: "present"}.get(row[names.index(f"{name}: present")], "no decision")
                    assert entry["notes"][0].startswith(decided)
        written = pages[0].stat().st_mtime_ns
        pages[1].unlink()
        assert pages_of(setting.findings, checkpoint, out, prompts) == pages
        assert pages[0].stat().st_mtime_ns == written


def test_without_a_viewer_pages_are_refused_before_anything_is_done(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "BUNDLE", tmp_path / "absent.js")
    with pytest.raises(ConfigError, match="pages need the viewer"):
        pages_of(setting.findings, setting.run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_predict_is_refused(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "terms.yaml").write_text("Bright: {terms: [bright]}")
    with pytest.raises(ConfigError, match=r"--prompts .*terms\.yaml: Bright has terms, and there are no reports"):
        predicted(setting.findings, setting.run, tmp_path / "out", tmp_path / "terms.yaml")
    with pytest.raises(CheckpointError):
        predicted(setting.findings, tmp_path / "nothing", tmp_path / "out")
