"""An old cuDNN is left out where tokens are hidden, and only there."""

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch

from simcrop.core.model import fusion
from simcrop.core.model.attention import masked_attention


@pytest.mark.parametrize(
    ("device", "cudnn", "allowed"),
    [
        ("cuda", 8907, False),
        ("cuda", 91002, False),
        ("cuda", 91500, False),
        ("cuda", 91501, True),
        ("cuda", 91900, True),
        ("cpu", 91500, True),
    ],
)
def test_an_old_cudnn_is_left_out_of_masked_attention(device: str, cudnn: int, allowed: bool) -> None:
    with masked_attention(torch.device(device), cudnn):
        assert torch.backends.cuda.cudnn_sdp_enabled() == allowed
        assert torch.backends.cuda.mem_efficient_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_words_ask_for_it_where_a_mask_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []

    def ask(device: torch.device) -> AbstractContextManager[None]:
        asked.append(device)
        return nullcontext()

    monkeypatch.setattr(fusion, "masked_attention", ask)
    layer, words = fusion.CrossAttention(8, 2, 0.0), torch.ones(1, 3, 8)
    layer(words, words)
    assert asked == []
    layer(words, words, torch.ones(1, 3, dtype=torch.bool))
    assert asked == [words.device]
