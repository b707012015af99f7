"""The summary of a run, of a network whose behaviour is known."""

import io
import json
from collections.abc import Iterator

import pytest
from rich.console import Console
from support.held_out_fakes import RECIPE, BrightnessModel, ConstantEncoder, FakeSource, box, held_out
from torch import Tensor

from simcrop.adapters.config.run import EvaluationSettings
from simcrop.adapters.evaluation.run.summary import evaluate_run, print_summary
from simcrop.core.data.held_out import HeldOutStudies
from simcrop.core.data.study import SentenceTruth

SETTINGS = EvaluationSettings(probe_labelled=16, probe_test=20, batch_size=7)
SPOT = SentenceTruth("There is a bright spot.", "Bright spot", present=True, mask="spot.nii.gz")
LOOKING = [
    f"grounding_{number}_{name}"
    for number in ("hit_rate", "auc")
    for name in ("blind", "blind_reading", "no_look", "evidence")
] + ["grounding_own_above_others"]
SHADOW = SentenceTruth("A shadow is seen.", "Shadow", present=True, mask="shadow.nii.gz")


def forty_studies() -> FakeSource:
    """Every second study has a bright patch and says so, at a place that moves; every fourth a shadow put wrongly."""
    source = FakeSource()
    for number in range(40):
        corner = (4 * (number % 3), 4 * (number // 3 % 2), 3 * (number // 7 % 2))
        patch = box(corner, tuple(c + p for c, p in zip(corner, RECIPE.patch_size, strict=True)))
        bright = number % 2 == 0
        sentences = ["The heart is normal."] * (number % 3) + ["A shadow is seen."] * (number % 4 == 0)
        sentences += ["There is a bright spot."] * bright
        truth = [SPOT] * bright + [SHADOW] * (number % 4 == 0)
        source.add(number, " ".join(sentences), truth, bright=patch if bright else None)
        source.masks[f"v{number}", "spot.nii.gz"] = patch
        # The dark patches are all but the bright one, so a shadow at the bright one is never found.
        source.masks[f"v{number}", "shadow.nii.gz"] = patch
    return source


def volumes(studies: HeldOutStudies, size: int) -> Iterator[Tensor]:
    """The studies' own volumes, as reference."""
    return (volume for _, volume in studies.batches(studies.studies, size))


def test_summary_tells_what_the_network_can_and_cannot() -> None:
    studies, model = held_out(forty_studies())
    done: list[tuple[int, int]] = []
    model.train()
    reference = volumes(studies, 7)
    summary = evaluate_run(
        model, ConstantEncoder(), studies, SETTINGS, reference=reference, progress=lambda *seen: done.append(seen)
    )
    spot = summary["grounding_findings"]["Bright spot"]
    assert {key: spot[key] for key in ("hit_rate", "chance", "auc", "num_sentences")} == {
        "hit_rate": 1.0,
        "chance": pytest.approx(1 / 12),
        "auc": 1.0,
        "num_sentences": 20,
    }
    assert summary["grounding_findings"]["Shadow"]["hit_rate"] == 0.0
    assert summary["grounding_hit_rate"] == 0.5
    # A spot may be anywhere, so that the map owes everything to its volume; all dark volumes score below it.
    assert (spot["auc_evidence"], spot["hit_rate_evidence"], spot["own_above_others"]) == (1.0, 1.0, 1.0)
    assert spot["auc_no_look"] < spot["auc"]
    shadow = summary["grounding_findings"]["Shadow"]
    assert summary["grounding_auc_evidence"] == (1.0 + shadow["auc_evidence"]) / 2
    assert set(LOOKING) <= set(summary)
    assert summary["grounding_chance"] == pytest.approx(1 / 12)
    assert summary["grounding_num_sentences"] == 30
    assert summary["probe_auroc"] == 1.0
    assert summary["probe_auroc_untrained"] == 0.5
    assert (summary["probe_num_labelled"], summary["probe_num_test"], summary["probe_note"]) == (16, 24, None)
    assert list(summary["probe_labels"]) == ["Bright spot"]
    assert done[-1] == (40, 40)
    assert model.training
    assert not any(model.seen_modes)
    json.dumps(summary, allow_nan=False)


def test_batches_do_not_change_the_summary() -> None:
    studies, model = held_out(forty_studies())
    one, many = (
        evaluate_run(
            model,
            ConstantEncoder(),
            studies,
            EvaluationSettings(probe_labelled=16, batch_size=size),
            reference=volumes(studies, size),
            progress=lambda *_: None,
        )
        for size in (1, 40)
    )
    assert one == many


def test_a_model_without_alignment_is_only_probed() -> None:
    studies, model = held_out(forty_studies())
    blind = BrightnessModel(model.tokenizer, matches_sentences=False)
    summary = evaluate_run(blind, ConstantEncoder(), studies, SETTINGS, reference=[], progress=lambda *_: None)
    assert summary["grounding_hit_rate"] is None
    assert summary["grounding_findings"] == {}
    assert summary["probe_auroc"] == 1.0


@pytest.mark.parametrize("number", [0, 1, 3])
def test_few_held_out_studies_are_said_and_do_no_harm(number: int) -> None:
    source = forty_studies()
    source.list = source.list[:number]
    studies, model = held_out(source)
    summary = evaluate_run(model, ConstantEncoder(), studies, SETTINGS, reference=[], progress=lambda *_: None)
    assert summary["num_held_out"] == number
    assert summary["probe_auroc"] is None
    assert "the data set holds out no more" in summary["probe_note"]
    print_summary(summary, Console(file=io.StringIO()))


def test_max_studies_limits_what_is_read() -> None:
    studies, model = held_out(forty_studies())
    settings = EvaluationSettings(probe_labelled=4, max_studies=10)
    summary = evaluate_run(model, ConstantEncoder(), studies, settings, reference=[], progress=lambda *_: None)
    assert summary["num_held_out"] == 10
    assert summary["probe_num_labelled"] + summary["probe_num_test"] == 10


def test_printed_summary_shows_every_number_beside_its_baseline() -> None:
    studies, model = held_out(forty_studies())
    given = {"reference": volumes(studies, 7), "train": studies.studies}
    summary = evaluate_run(model, ConstantEncoder(), studies, SETTINGS, progress=lambda *_: None, **given)
    assert summary["probe_auroc_prototypes"] == 1.0
    losses = {"loss": 1.25, "loss_alignment": 0.5, "validation_loss": 1.5, "validation_loss_alignment": None}
    console = Console(record=True, width=140, file=io.StringIO())
    print_summary(summary | losses, console)
    text = console.export_text()
    row = next(line for line in text.splitlines() if "Bright spot" in line)
    spot = summary["grounding_findings"]["Bright spot"]
    shown = ["20", "1.000", "0.083", f"{spot['hit_rate_blind']:.3f}", "1.000", f"{spot['auc_evidence']:.3f}"]
    assert max(map(len, (line.rstrip() for line in text.splitlines()))) <= 100
    voxels = f"{summary['probe_auroc_voxels']:.3f}"
    assert row.split() == ["Bright", "spot", *shown, "1.000", "1.000", "0.500", voxels]
    assert "last training loss 1.250 (alignment 0.500)" in text
    assert "held-out loss 1.500" in text
    assert "mean over findings" in text
