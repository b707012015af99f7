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
    first = next(entry for entry in data["shown"] if entry["scan"] == 0)
    assert first["notes"][0].startswith("worst 1: ")
    of_study = [row for row in rows if row["study_id"] == first["notes"][0].partition(": ")[2]]
    assert {entry["title"] for entry in data["shown"] if entry["scan"] == 0} == {row["sentence"] for row in of_study}
    for entry in data["shown"]:
        (row,) = (
            row
            for row in rows
            if entry["notes"][0].endswith(f" {row['study_id']}") and row["sentence"] == entry["title"]
        )
        assert (entry["notes"][2].endswith("inside its true place")) <= (row["hit"] == "1")
        assert [outline["name"] for outline in entry["outlines"]] == ["true place"]
    assert tiny.evaluate("grounding", tmp_path, "evaluation.bootstrap=0", "grounding.pictures=0") == 0
    assert not (tmp_path / "page.html").exists()
