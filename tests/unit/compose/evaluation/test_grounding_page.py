"""The page of grounding: the studies of the pictures, their sentences, and the true places."""

import json
from pathlib import Path

import pytest
from support.language_run import Tiny, read

from simcrop.adapters.pages.niivue import BUNDLE

pytestmark = pytest.mark.skipif(not BUNDLE.is_file(), reason="the viewer of pages has not been brought")


def test_the_page_shows_the_worst_the_middling_and_the_best_study(tiny: Tiny, tmp_path: Path) -> None:
    options = ("evaluation.bootstrap=0", "grounding.pictures=1")
    assert tiny.evaluate("grounding", tmp_path, *options) == 0
    page = (tmp_path / "page.html").read_text()
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    _, rows = read(tmp_path)
    assert len(data["scans"]) == 3
    heads = [scan["head"].partition(": ") for scan in data["scans"]]
    assert [name for name, _, _ in heads] == ["worst 1", "middle 1", "best 1"]
    for number, (_, _, study) in enumerate(heads):
        of_study = {row["sentence"]: row for row in rows if row["study_id"] == study}
        entries = [entry for entry in data["shown"] if entry["scan"] == number]
        assert {entry["title"] for entry in entries} == of_study.keys()
        for entry in entries:
            assert (entry["notes"][1].endswith("inside its true place")) <= (of_study[entry["title"]]["hit"] == "1")
            assert [outline["name"] for outline in entry["outlines"]] == ["true place"]
    assert tiny.evaluate("grounding", tmp_path, "evaluation.bootstrap=0", "grounding.pictures=0") == 0
    assert not (tmp_path / "page.html").exists()
