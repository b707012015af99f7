"""Groups of what a file of weights holds beside a vision encoder: every name in one, with a reason."""

from hypothesis import given
from hypothesis import strategies as st
from support.small_models import make_model as every_objective
from support.tiny import LOCAL, MODEL, make_model

from simcrop.adapters.checkpoints.folder import ENCODER
from simcrop.adapters.checkpoints.left_out import LeftOut, left_out, table_left_out

NAMES = st.sampled_from(
    [
        "decoder_blocks.0.norm1.weight",
        "decoder_pred.bias",
        "mask_token",
        "bert_encoder.x",
        "args",
        "new.a",
        "new.b",
        "e",
    ]
)


@given(st.lists(NAMES, unique=True))
def test_every_name_is_in_one_group_and_what_is_unknown_comes_last(names: list[str]) -> None:
    groups = left_out(names)
    assert sorted(name for group in groups for name in group.names) == sorted(names)
    assert [group.is_known for group in groups[:-1]] == [True] * len(groups[:-1])
    unknown = [name for name in names if name in ("new.a", "new.b", "e")]
    assert [group.listed for group in groups if not group.is_known] == ([unknown] if unknown else [])


def test_a_group_is_one_line_of_parts() -> None:
    (group,) = left_out(["decoder_embed.weight", "decoder_embed.bias", "mask_token", "decoder_pred.bias"])
    assert str(group) == "left out, decoder of volumes: decoder_embed (2), mask_token, decoder_pred.bias"
    assert table_left_out(MODEL, is_same=False) == LeftOut(
        "position table, not the model's, which is sincos3d for a grid of (2, 2, 2)", ("pos_embed",)
    )


def test_every_part_of_our_own_model_is_known() -> None:
    models = [make_model(model=recipe) for recipe in (MODEL, LOCAL)] + [every_objective()]
    for model in models:
        names = [name for name in model.state_dict() if not name.startswith(ENCODER)]
        assert [group.names for group in left_out(names) if not group.is_known] == []
