"""Sizes of a text encoder, as a checkpoint has them and as nobody has a computer for."""

import json
from pathlib import Path
from typing import Any

import pytest

from simcrop.adapters.text.sizes import read_sizes
from simcrop.core.errors import CheckpointError

SIZES: dict[str, Any] = {
    "vocab_size": 100,
    "hidden_size": 16,
    "num_hidden_layers": 0,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 48,
    "hidden_dropout_prob": 0,
}


def test_what_decides_how_a_text_is_read_is_kept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "sizes.json").write_text(json.dumps(SIZES | {"is_decoder": True, "auto_map": {"a": "b"}}))
    kept = read_sizes(tmp_path / "sizes.json").model_dump()
    assert SIZES.items() <= kept.items()
    assert not {"is_decoder", "auto_map"} & kept.keys()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10_000_000}, "num_hidden_layers: .* less than or equal to 256"),
        ({"hidden_size": 4_000_000}, "hidden_size: .* 65536"),
        ({"hidden_size": 0}, "hidden_size: .* greater than or equal to 1"),
        ({"vocab_size": "100"}, "vocab_size: .* valid integer"),
        ({"max_position_embeddings": 10**400}, "max_position_embeddings: "),
        ({"hidden_act": "eval"}, "hidden_act: "),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps: "),
        ({"hidden_size": 15}, "hidden_size: 15 is not divisible by 2 heads"),
        ({"pad_token_id": 100}, "pad_token_id: 100 is none of 100 tokens"),
    ],
)
def test_other_sizes_are_refused_by_name(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (tmp_path / "sizes.json").write_text(json.dumps(SIZES | changes))
    with pytest.raises(CheckpointError, match=rf"sizes.json: cannot be read \({message}.*\); take another checkpoint$"):
        read_sizes(tmp_path / "sizes.json")
