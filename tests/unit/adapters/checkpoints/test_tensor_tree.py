"""A tree of values and tensors, taken apart and put together."""

import json
from typing import Any

import torch
from hypothesis import given
from hypothesis import strategies as st

from simcrop.adapters.checkpoints.tensor_tree import join_tensors, split_tensors

LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
TREES = st.recursive(
    st.one_of(LEAVES, st.integers(0, 9).map(lambda value: torch.full((2,), value))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=8,
)


def plain(tree: Any) -> Any:
    """The tree with lists of numbers in place of tensors, so that `==` compares it."""
    if isinstance(tree, dict):
        return {key: plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [plain(value) for value in tree]
    return ("tensor", tree.tolist()) if isinstance(tree, torch.Tensor) else tree


@given(st.dictionaries(st.sampled_from(["weight", "list", "µ"]), TREES, max_size=3))
def test_a_tree_comes_back_through_json(tree: dict[str, Any]) -> None:
    apart, tensors = split_tensors(tree)
    assert plain(join_tensors(json.loads(json.dumps(apart)), tensors)) == plain(tree)


def test_tensors_are_named_by_their_place_and_contiguous() -> None:
    apart, tensors = split_tensors({"a": {"b": [1, torch.ones(2, 3, requires_grad=True).t()]}})
    assert apart == {"a": {"b": [1, {"tensor": "a/b/1"}]}}
    assert tensors["a/b/1"].is_contiguous()
    assert not tensors["a/b/1"].requires_grad
