"""Retrieval by features of other models: the studies, ranks and intervals that a checkpoint gets."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from support.language_run import NUM_HELD_OUT, SHORT, Tiny, column, read

from simcrop.adapters.config.settings import load_config
from simcrop.adapters.evaluation.language.retrieval_report import RetrievalOutcome, retrieval_report
from simcrop.adapters.evaluation.output import Evaluation
from simcrop.compose.evaluation import retrieval as module
from simcrop.compose.evaluation.retrieval import retrieval
from simcrop.core.errors import ConfigError, DataError
from simcrop_cli.__main__ import main


def save(path: Path, names: list[str], rows: np.ndarray) -> Path:
    np.savez(path, names=names, features=rows)
    return path


def measure(tiny: Tiny, out: Path, volumes: Path, reports: Path, *options: str) -> int:
    sets = [part for option in (*SHORT, *options) for part in ("--set", option)]
    given = ["--features", str(volumes), "--text-features", str(reports)]
    return main(["eval", "retrieval", str(tiny.config), *given, "--out", str(out), *sets])


def studies(tiny: Tiny) -> list[str]:
    table = tiny.config.parent / "studies" / "studies.csv"
    return [row["study_id"] for row in csv.DictReader(table.open()) if row["split"] == "validation"]


def test_the_scores_of_a_model_given_as_features_have_its_numbers(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report's row holds its scores, and a number that brings it to one length; a volume's is a unit vector."""
    seen: list[RetrievalOutcome] = []

    def watched(outcome: RetrievalOutcome, *arguments: object, **options: object) -> Evaluation:
        seen.append(outcome)
        return retrieval_report(outcome, *arguments, **options)

    monkeypatch.setattr(module, "retrieval_report", watched)
    assert tiny.evaluate("retrieval", tmp_path / "model") == 0
    scores, names = seen[0].scores.double().numpy(), [study.study_id for study in seen[0].studies]
    rest = np.sqrt(NUM_HELD_OUT - (scores**2).sum(1, keepdims=True))
    reports = save(tmp_path / "reports.npz", names, np.hstack([scores, rest]))
    volumes = save(tmp_path / "volumes.npz", names[::-1], np.eye(NUM_HELD_OUT, NUM_HELD_OUT + 1)[::-1])
    empty = f"data.prepared={tmp_path / 'prepared'}"
    assert measure(tiny, tmp_path / "tables", volumes, reports, empty) == 0
    expected, found = read(tmp_path / "model"), read(tmp_path / "tables")
    assert found[1] == expected[1]
    assert (found[0].pop("weights"), expected[0].pop("weights")) == (None, "rarity")
    assert found[0] == expected[0]
    assert (tmp_path / "tables/pictures/recall.png").exists()
    assert not (tmp_path / "prepared").exists(), "no volume is read"


def test_the_right_and_the_wrong_way_round(tiny: Tiny, tmp_path: Path) -> None:
    names = studies(tiny)
    rows = np.random.default_rng(0).normal(size=(NUM_HELD_OUT, 4))
    volumes = save(tmp_path / "volumes.npz", names, rows)
    assert measure(tiny, tmp_path / "right", volumes, save(tmp_path / "same.npz", names, 7 * rows)) == 0
    assert measure(tiny, tmp_path / "wrong", volumes, save(tmp_path / "minus.npz", names, -rows)) == 0
    (right, ranks), (wrong, _) = read(tmp_path / "right"), read(tmp_path / "wrong")
    assert (column(ranks, "rank_of_volume") == 1).all()
    assert [row["best_report"] for row in ranks] == [row["study_id"] for row in ranks]
    assert right["volume_to_report"]["recall_at_1"]["value"] == 1
    assert wrong["volume_to_report"]["recall_at_1"]["value"] == 0


def test_studies_without_findings_are_left_out_and_need_no_row(tiny: Tiny, tmp_path: Path) -> None:
    table = tiny.config.parent / "studies" / "studies.csv"
    rows = list(csv.DictReader(table.open()))
    rows[-1]["findings"] = ""
    other = table.with_name("fewer.csv")
    with other.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    names = studies(tiny)[:-1]
    same = save(tmp_path / "same.npz", names, np.eye(len(names)))
    assert measure(tiny, tmp_path / "out", same, same, f"data.manifest={other}") == 0
    assert read(tmp_path / "out")[0]["num_test"] == NUM_HELD_OUT - 1


def test_mistakes_are_one_line(tiny: Tiny, tmp_path: Path) -> None:
    names = studies(tiny)
    volumes = save(tmp_path / "volumes.npz", names, np.eye(NUM_HELD_OUT))
    reports = save(tmp_path / "reports.npz", names, np.ones((NUM_HELD_OUT, 3)))
    lacking = save(tmp_path / "lacking.npz", names[2:], np.eye(NUM_HELD_OUT)[2:])

    def refused(checkpoint: str | None, *options: str) -> None:
        retrieval(load_config(tiny.config, [*SHORT, *options]), checkpoint=checkpoint, out=tmp_path / "out")

    both = (f"retrieval.features={volumes}", f"retrieval.text_features={reports}")
    with pytest.raises(DataError, match=rf"^{re.escape(str(volumes))}: has 10 features a row, and .*reports.npz has 3"):
        refused(None, *both)
    with pytest.raises(DataError, match=r"lacking\.npz: has no row of finite numbers for the study .* \(and 1 more"):
        refused(None, both[0], f"retrieval.text_features={lacking}")
    with pytest.raises(ConfigError, match=r"^--checkpoint: the features of .* are made already; name one of the two"):
        refused(str(tiny.run), *both)
    with pytest.raises(ConfigError, match=r"retrieval\.features, text_features: one is named and the other is not"):
        refused(None, both[1])
    with pytest.raises(ConfigError, match=r"^--checkpoint: is missing; name a model, or by --features"):
        refused(None)
