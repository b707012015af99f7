"""Retrieval through the command line, on a run of two steps."""

import csv
from pathlib import Path

import numpy as np
import pytest
from support.language_run import NUM_HELD_OUT, SHORT, Tiny, column, read

from simcrop_cli.__main__ import main


def test_recalls_are_those_of_the_ranks(tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny.evaluate("retrieval", tmp_path) == 0
    metrics, rows = read(tmp_path)
    assert (metrics["num_test"], metrics["weights"]) == (NUM_HELD_OUT, "rarity")
    for name, ranks in (("report_to_volume", "rank_of_volume"), ("volume_to_report", "rank_of_report")):
        for k in (1, 5, 10):
            assert metrics[name][f"recall_at_{k}"]["value"] == pytest.approx((column(rows, ranks) <= k).mean())
        assert metrics[name]["recall_at_10"]["chance"] == 1.0
        assert metrics[name]["median_rank"]["value"] == np.quantile(column(rows, ranks), 0.5, method="inverted_cdf")
    # The last two studies have the same findings, so each is right for the other, and their ranks are the same.
    assert metrics["num_reports_that_repeat"] >= 2
    last = {row["study_id"]: row for row in rows}
    assert last["s16"]["rank_of_volume"] == last["s17"]["rank_of_volume"]
    assert metrics["report_to_volume"]["recall_at_1"]["chance"] > 1 / NUM_HELD_OUT
    assert "median rank" in capsys.readouterr().out
    assert (tmp_path / "pictures" / "recall.png").exists()


def test_the_published_protocol_searches_among_distinct_findings(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model and two tables that stand for it give the same numbers of studies, and the same chance."""
    table = tiny.config.parent / "studies" / "studies.csv"
    held_out = [row for row in csv.DictReader(table.open()) if row["split"] == "validation"]
    first = {row["findings"]: row["study_id"] for row in reversed(held_out)}
    assert len(first) < NUM_HELD_OUT
    np.savez(tmp_path / "own.npz", names=[row["study_id"] for row in held_out], features=np.eye(NUM_HELD_OUT))
    features = [part for name in ("features", "text-features") for part in (f"--{name}", str(tmp_path / "own.npz"))]
    sets = [part for option in SHORT for part in ("--set", option)]
    for out, more in (("model", ["--checkpoint", str(tiny.run)]), ("tables", features)):
        arguments = ["eval", "retrieval", str(tiny.config), *more, "--out", str(tmp_path / out), *sets]
        assert main([*arguments, "--protocol", "published"]) == 0
        metrics, rows = read(tmp_path / out)
        assert {row["study_id"] for row in rows} == {*first.values()}
        num_repeats = NUM_HELD_OUT - len(first)
        assert (metrics["num_test"], metrics["num_repeats_left_out"]) == (len(first), num_repeats)
        assert [key for key in metrics["report_to_volume"] if "recall" in key] == [
            "recall_at_5",
            "recall_at_10",
            "recall_at_50",
            "recall_at_100",
        ]
        assert metrics["report_to_volume"]["recall_at_5"]["chance"] == pytest.approx(5 / len(first))
        assert metrics["num_reports_that_repeat"] == 0
        assert f"{num_repeats} of {NUM_HELD_OUT} held-out studies repeat" in " ".join(capsys.readouterr().out.split())
        assert main([*arguments, "--distinct", "--top", "2,4"]) == 0
        metrics, _ = read(tmp_path / out)
        assert (metrics["protocol"], metrics["num_test"]) == ("honest", len(first))
        assert [key for key in metrics["volume_to_report"] if "recall" in key] == ["recall_at_2", "recall_at_4"]
        capsys.readouterr()
