"""The page of a real run, and of what was measured below it."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.labelled_runs import Setting, evaluate
from support.labelled_runs import trained as trained_run

from simcrop.compose.evaluation.probe import probe
from simcrop.compose.reporting import report
from simcrop.core.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    made = trained_run(tmp_path_factory.mktemp("reporting"))
    evaluate(probe, made.findings, made.run / "eval/probe", checkpoint=made.run)
    return made


@pytest.fixture
def run(setting: Setting, tmp_path: Path) -> Path:
    return shutil.copytree(setting.run, tmp_path / "run")


def charts(page: str) -> dict[str, list[str]]:
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    return {chart["title"]: [line["name"] for line in chart["series"]] for chart in json.loads(data[1])["charts"]}


def test_a_run_has_its_page_when_it_ends(setting: Setting) -> None:
    page = (setting.run / "report.html").read_text()
    assert "step 2 of 2" in page
    assert charts(page)["Loss reconstruction"] == ["training", "held out"]
    assert "Gradient norm" in charts(page)


def test_an_evaluation_appears_with_its_numbers_and_warnings(run: Path) -> None:
    about = json.loads((run / "eval/probe/metrics.json").read_text())
    about["warnings"] = ["few patients"]
    (run / "eval/probe/metrics.json").write_text(json.dumps(about))
    assert report(run) == run / "report.html"
    page = (run / "report.html").read_text()
    assert page.index("eval/probe: few patients") < page.index("<h2>Curves</h2>")
    area = about["metrics"]["auroc"]
    assert f"{area['value']:.3f}<small>{area['low']:.3f} to {area['high']:.3f}</small>" in page
    assert 'href="eval/probe/metrics.json"' in page
    assert "Bright" in page
    for part in ("The loss was the weighted sum", "Summary", "Data, fingerprint"):
        assert part in page


def test_results_of_other_weights_are_marked(run: Path) -> None:
    about = json.loads((run / "eval/probe/metrics.json").read_text())
    about["checkpoint"]["sha256"] = "0" * 64
    (run / "eval/probe/metrics.json").write_text(json.dumps(about))
    assert "eval/probe: was measured on other weights (sha256 000000000000)" in report(run).read_text()


def test_a_run_that_goes_on_has_a_page_too(run: Path, tmp_path: Path) -> None:
    (run / "summary.json").unlink()
    shutil.rmtree(run / "checkpoints")
    page = report(run, tmp_path / "page.html").read_text()
    assert "The run is not finished, so it has no summary." in page
    assert "; not finished" in page


def test_what_is_no_run_or_damaged_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no run folder"):
        report(tmp_path)
    (run / "metrics.jsonl").write_text("{")
    with pytest.raises(DataError, match=r"metrics\.jsonl: damaged"):
        report(run)
