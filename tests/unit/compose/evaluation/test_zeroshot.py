"""Zero-shot reading of findings, through the command line, on a run of two steps."""

import json
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score
from support.language_run import NODULE, NUM_HELD_OUT, Tiny, column, read
from support.tiny_data import SENTENCES


@pytest.mark.parametrize("prompts", ["reports", "templates", "file"])
def test_areas_are_those_of_the_predictions(
    tiny: Tiny, tmp_path: Path, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if prompts == "file":
        file = tmp_path / "prompts.json"
        file.write_text(json.dumps({"Lung nodule": {"present": [NODULE], "absent": [SENTENCES[1], SENTENCES[4]]}}))
    out = tmp_path / "out"
    value = prompts if prompts != "file" else str(tmp_path / "prompts.json")
    assert tiny.evaluate("zeroshot", out, f"zeroshot.prompts={value}") == 0
    metrics, rows = read(out)
    assert len(rows) == 3 * NUM_HELD_OUT
    for finding in ("Lung nodule", "Emphysema"):
        own = [row for row in rows if row["finding"] == finding]
        for name, scores in (("auroc", "score"), ("auroc_asserted", "asserted")):
            expected = roc_auc_score(column(own, "truth"), column(own, scores))
            assert metrics["findings"][finding][name]["value"] == pytest.approx(expected)
    nodule, emphysema = (metrics["findings"][name] for name in ("Lung nodule", "Emphysema"))
    assert metrics["findings"]["Pleural effusion"]["auroc"]["value"] is None
    assert metrics["auroc"]["value"] == pytest.approx((nodule["auroc"]["value"] + emphysema["auroc"]["value"]) / 2)
    assert metrics["auroc_with_place"]["value"] == nodule["auroc"]["value"]
    assert metrics["auroc_asserted_with_place"]["value"] == nodule["auroc_asserted"]["value"]
    assert (nodule["has_place"], emphysema["has_place"]) == (True, False)
    used = nodule["prompts"]
    assert used["source"] == ("training reports" if prompts == "reports" else "sentences of their own")
    if prompts == "reports":
        assert set(used["present"]) == {NODULE}
        assert NODULE not in used["absent"]
    if prompts == "file":
        assert (used["present"], used["absent"]) == ([NODULE], [SENTENCES[1], SENTENCES[4]])
    assert (out / "pictures" / "roc.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "mean over those with a place" in printed
    assert "Pleural effusion: not measured, the test set has one class alone" in printed
    assert ("the training reports assert not Pleural effusion" in printed) == (prompts == "reports")
