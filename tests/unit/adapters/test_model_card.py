"""The parts of a model card that depend on what is known."""

import re
from dataclasses import replace
from typing import Any

import pytest
from tiny import MODEL

from simcrop.adapters.config import DataSettings, RunConfig
from simcrop.adapters.model_card import CardFacts, model_card
from simcrop.adapters.run_results import RunResults
from simcrop.core.recipe import TextEncoderRecipe

FACTS = CardFacts("chest", "simcrop", "somebody/chest", MODEL, 1234567, 8, "ab" * 32, config=RunConfig())


def card(**changes: Any) -> str:
    return model_card(replace(FACTS, **changes))


def rows_of(summary: dict[str, Any]) -> list[str]:
    text = card(results=RunResults(summary, {}))
    return re.findall(r"^\| (?!metric|---)(.*) \|$", text.partition("## Measured")[2], re.MULTILINE)


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


def test_code_for_a_model_on_the_hub_downloads_it() -> None:
    for kind, name in (("authors", "simcrop.pth"), ("monai", "monai_vit.safetensors")):
        shown = card(kind=kind, class_token=0.01)
        assert f'hf_hub_download("somebody/chest", "{name}")' in shown
        assert "from huggingface_hub import hf_hub_download\n" in shown
    assert "by 1.00% of their length" in shown
    local = card(kind="authors", where="chest")
    assert 'torch.load("chest/simcrop.pth", weights_only=True)' in local
    assert "huggingface_hub" not in local
