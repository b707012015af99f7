"""Retrieval through the command line, on a run of two steps."""

from pathlib import Path

import numpy as np
import pytest
from support.language_run import NUM_HELD_OUT, Tiny, column, read


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
