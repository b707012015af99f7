"""The code of a card: where it takes the weights from."""

from dataclasses import replace
from typing import Any

from support.tiny import MODEL

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.export.model_card import CardFacts, model_card

FACTS = CardFacts("chest", "simcrop", "somebody/chest", MODEL, 1234567, 8, "ab" * 32, config=RunConfig())


def card(**changes: Any) -> str:
    return model_card(replace(FACTS, **changes))


def test_code_for_a_model_on_the_hub_downloads_it() -> None:
    for kind, name in (("authors", "simcrop.pth"), ("monai", "monai_vit.safetensors")):
        shown = card(kind=kind, class_token=0.01)
        assert f'hf_hub_download("somebody/chest", "{name}")' in shown
        assert "from huggingface_hub import hf_hub_download\n" in shown
    assert "by 1.00% of their length" in shown
    local = card(kind="authors", where="chest")
    assert 'torch.load("chest/simcrop.pth", weights_only=True)' in local
    assert "huggingface_hub" not in local
