"""Sentences of training reports become prompts, and a model of known behaviour tells its finding by them."""

import torch
from support.held_out_fakes import FakeSource, box, held_out

from simcrop.core.evaluation.metrics import auroc
from simcrop.core.evaluation.prompt_features import PromptReader, ReadPrompts
from simcrop.core.evaluation.zeroshot import finding_scores
from simcrop.core.reference import sentence_volume_scores
from simcrop.core.reports.prompts import FindingWords, Prompt, PromptTexts, templates

SPOT = FindingWords(("bright spot",), ("bright spot",))


def reports(*findings: str) -> FakeSource:
    source = FakeSource()
    for number, text in enumerate(findings):
        source.add(number, text, [], bright=None)
    return source


def read(source: FakeSource, *, limit: int = 10, max_tokens: int = 64) -> dict[str, ReadPrompts]:
    studies, model = held_out(source, max_tokens=max_tokens)
    prompts = {"Bright spot": SPOT, "Shadow": FindingWords(("shadow",), ("shadow",))}
    return PromptReader(model, studies, limit=limit).read(prompts)


def test_sentences_are_sorted_into_assertions_and_denials() -> None:
    source = reports(
        "A bright spot below. The heart is large.", "No bright spot is seen.", "Bright spots everywhere. Dark shadow."
    )
    spot = read(source)["Bright spot"]
    assert spot.from_reports
    assert set(spot.texts.present) == {"A bright spot below.", "Bright spots everywhere."}
    assert spot.texts.absent == ("No bright spot is seen.",)
    # All of them hold the word that the model looks for bright patches by.
    assert spot.features.present.tolist() == [[1.0, 0.0]] * 2
    assert spot.features.absent.tolist() == [[1.0, 0.0]]


def test_where_nobody_denies_a_finding_other_sentences_stand_against_it() -> None:
    spot = read(reports("A bright spot below. The heart is large.", "Dark shadow."))["Bright spot"]
    assert spot.texts.present == ("A bright spot below.",)
    assert set(spot.texts.absent) == {"The heart is large.", "Dark shadow."}
    assert spot.features.absent.tolist() == [[-1.0, 0.0]] * 2


def test_a_finding_that_nobody_asserts_takes_the_built_in_sentences() -> None:
    for source in (reports("A bright spot below.", "No shadow."), reports()):
        shadow = read(source)["Shadow"]
        assert not shadow.from_reports
        assert shadow.texts == templates("Shadow")
        assert len(shadow.features.present) == len(shadow.texts.present)


def test_no_more_than_the_limit_are_taken_and_always_the_same() -> None:
    findings = [f"Bright spot of {number} mm. No bright spot in lobe {number}." for number in range(30)]
    first, again = (read(source, limit=7)["Bright spot"] for source in (reports(*findings), reports(*findings)))
    assert (len(first.texts.present), len(first.texts.absent)) == (7, 7)
    assert first.texts == again.texts
    assert first.texts.present != tuple(sorted(first.texts.present))[:7]


def test_a_sentence_beyond_the_limit_of_tokens_is_no_prompt() -> None:
    spot = read(reports("The heart is large. A bright spot.", "A bright spot below."), max_tokens=7)["Bright spot"]
    assert spot.texts.present == ("A bright spot below.",)
    assert spot.texts.absent == ("The heart is large.",)


def test_given_sentences_are_read_as_they_are() -> None:
    studies, model = held_out(reports("A bright spot."))
    given = PromptTexts(("It is bright.",), ("It is not.", "All dark."))
    found = PromptReader(model, studies, limit=3).read({"Bright spot": given})["Bright spot"]
    assert found.texts == given
    assert not found.from_reports
    assert (found.features.present.tolist(), found.features.absent.tolist()) == ([[1, 0]], [[-1, 0], [-1, 0]])


def test_a_model_that_looks_for_what_it_reads_tells_the_finding_perfectly() -> None:
    source = FakeSource()
    for number in range(12):
        corner = (4 * (number % 3), 0, 3 * (number % 2))
        patch = box(corner, (corner[0] + 4, 4, corner[2] + 3))
        has_it = number % 3 == 0
        source.add(number, "A bright spot below." if has_it else "Dark shadow.", [], bright=patch if has_it else None)
    studies, model = held_out(source)
    patches = model.patch_features(torch.stack([studies.volume(study) for study in studies.studies]))
    truth = torch.tensor([study.labels["Bright spot"] == 1 for study in studies.studies])

    def area(prompt: Prompt) -> float:
        found = PromptReader(model, studies, limit=9).read({"Bright spot": prompt})["Bright spot"]
        scores = finding_scores([found.features], patches, lambda s, p: sentence_volume_scores(s[None], p, k=1)[0])
        present, absent = scores[:, 0].unbind(1)
        return auroc(present - absent, truth)

    assert area(SPOT) == 1.0
    # The built-in denial names the spot too, so that this model cannot tell it from the assertion.
    assert area(templates("Bright spot")) == 0.5
