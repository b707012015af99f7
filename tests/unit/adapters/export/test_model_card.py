"""The parts of a model card that depend on what is known."""

import re
from dataclasses import replace
from typing import Any

import pytest
from support.tiny import MODEL

from simcrop.adapters.config.run import DataSettings, RunConfig
from simcrop.adapters.export.model_card import CardFacts, model_card
from simcrop.adapters.export.results import RunResults
from simcrop.core.recipe import TextEncoderRecipe

FACTS = CardFacts("chest", "simcrop", "somebody/chest", MODEL, 1234567, 8, "ab" * 32, config=RunConfig())


def card(**changes: Any) -> str:
    return model_card(replace(FACTS, **changes))


def rows_of(summary: dict[str, Any]) -> list[str]:
    text = card(results=RunResults(summary, {}))
    return re.findall(r"^\| (?!metric|---)(.*) \|$", text.partition("## Measured")[2], re.MULTILINE)


def test_several_windows_have_a_row() -> None:
    assert "windows" not in card()
    shown = card(recipe=replace(MODEL, windows=((-1000.0, 1000.0), (-150.0, 250.5))))
    assert "| window, HU | -1000 to 1000, mapped to [-1, 1] |" in shown
    row = "| windows that the encoder reads, HU | -1000 to 1000; -150 to 250.5; each a channel of the patch embedding |"
    assert row in shown


def test_levels_of_metrics_are_shown_whole() -> None:
    few = {"auroc": 0.5, "empty": None, "is_on": True, "nan": float("nan"), "interval": {"low": 0.25, "high": 1}}
    assert rows_of(few) == ["auroc | 0.5", "interval.low | 0.25", "interval.high | 1"]
    many = {"auroc": 0.5, "deep": {"a": {"b": 1}}, "per_class": {str(number): number for number in range(30)}}
    assert rows_of(many) == ["auroc | 0.5"]
    assert "31 more stand in summary.json of the run." in card(results=RunResults(many, {}))
    assert len(rows_of({str(number): number for number in range(40)})) == 40


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (
            DataSettings(cases=100, validation_fraction=0.25),
            "100 generated phantom chests, 25% of their patients held out",
        ),
        (DataSettings(), "The training volumes are generated phantoms, which bind nobody."),
        (DataSettings(source="ct_rate", root="x"), "CT-RATE, is CC BY-NC-SA and gated"),  # pyright: ignore[reportArgumentType]
        (DataSettings(source="dicom", root="x"), "may bind the weights too"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_data_and_what_its_licence_may_bind(source: DataSettings, text: str) -> None:
    assert text in card(config=RunConfig(data=source))


def test_a_loaded_text_encoder_is_named_with_its_own_licence() -> None:
    text = TextEncoderRecipe(source="microsoft/BiomedVLP-CXR-BERT-specialized", revision="abc")
    shown = card(config=RunConfig(text_encoder=text))
    assert "| text encoder | microsoft/BiomedVLP-CXR-BERT-specialized (frozen) |\n| its revision | abc |" in shown
    assert "The text encoder microsoft/BiomedVLP-CXR-BERT-specialized has a licence of its own." in shown


def test_a_file_that_says_nothing_is_not_credited_with_anything() -> None:
    shown = card(config=None, step=None, kind="authors")
    assert "from a file that does not say how it was trained" in shown
    assert "Not recorded: the weights came from a file" in shown
    assert "pre-trained" not in shown
    assert "| steps" not in shown


@pytest.mark.parametrize(
    ("metrics", "count"),
    [
        ({"num_test": 5, "auroc": 0.5}, "5"),
        ({"num_studies": 6, "num_sentences": 40}, "6"),
        ({"auroc": 0.5}, "7"),
        (None, None),
    ],
)
def test_an_evaluation_is_credited_with_the_studies_that_it_tested(
    metrics: dict[str, Any] | None, count: str | None
) -> None:
    content = (
        {"task": "probe"} if metrics is None else {"task": "probe", "metrics": metrics, "data": {"num_held_out": 7}}
    )
    heading = re.search(
        r"^`simcrop eval probe` \(a\)(.*):$", card(results=RunResults({}, {"a": content})), re.MULTILINE
    )
    assert heading is not None
    assert heading[1] == ("" if count is None else f", on {count} held-out studies")


CLASSIFIER = {"classifier": {"labels": ["Emphysema", "Nodule"]}, "metrics": {"auroc": 0.75}, "data_fingerprint": "fe"}
GENERIC = "The licence of the training data may bind the weights too"


def test_a_fine_tuned_encoder_is_credited_with_its_fine_tuning_alone() -> None:
    text = TextEncoderRecipe(source="microsoft/BiomedVLP-CXR-BERT-specialized")
    settings = {"--checkpoint": "cd" * 32, "data.root": "/secret/place"}
    config = RunConfig(text_encoder=text)
    shown = card(kind="authors", config=config, manifest={**CLASSIFIER, "settings": settings})
    for part in (
        f"fine-tuned from other weights (sha256 `{'cd' * 32}`) for 8 updates to tell Emphysema, Nodule, with simcrop",
        "that the method's authors released. The head of the classifier was left out.",
        "What the weights that the training began with had learned from is not recorded.",
        "| share of labels | 100 % |",
        f"| steps, batch | {config.finetune.steps} planned, {config.finetune.batch_size} studies |",
        "With its head, on the patients by whom the step was chosen:\n\n| metric | value |\n|---|---|\n| auroc | 0.75",
        GENERIC,
    ):
        assert part in shown, part
    for part in ("pre-trained", "objectives", "mask ratio", "text encoder", "CXR-BERT", "bind nobody", "secret"):
        assert part not in shown, part


@pytest.mark.parametrize(
    ("manifest", "init", "start"),
    [
        ({**CLASSIFIER, "settings": {"--checkpoint": None}}, "scratch", "fine-tuned from scratch for 8 updates"),
        ({**CLASSIFIER, "settings": {"--checkpoint": None}}, "mae.pth", "fine-tuned from other weights for 8 updates"),
        ({}, "scratch", "pre-trained for 8 updates"),
        ({}, "mae.pth", "pre-trained for 8 updates"),
    ],
)
def test_only_weights_that_began_at_random_are_bound_by_their_own_data_alone(
    manifest: dict[str, Any], init: str, start: str
) -> None:
    config = RunConfig()
    shown = card(kind="authors", manifest=manifest, config=replace(config, model=replace(config.model, init=init)))
    assert start in shown
    assert ("bind nobody" in shown) == (init == "scratch")
    assert (GENERIC in shown) == (init != "scratch")
    assert ("is not recorded" in shown) == (init != "scratch")
