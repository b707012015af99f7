"""A tree of plain values and tensors as JSON, and the tensors beside it by name."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from simcrop.core.ports import State


def split_tensors(state: State) -> tuple[State, dict[str, Tensor]]:
    """The tree with a name in place of each tensor, and the tensors by name."""
    tensors: dict[str, Tensor] = {}

    def walk(value: Any, name: str) -> Any:
        if isinstance(value, Tensor):
            tensors[name] = value.detach().contiguous()
            return {"tensor": name}
        if isinstance(value, Mapping):
            return {key: walk(item, f"{name}/{key}") for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, f"{name}/{index}") for index, item in enumerate(value)]
        return value

    tree = {key: walk(value, key) for key, value in state.items()}
    return tree, tensors


def join_tensors(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `split_tensors` took apart."""
    if isinstance(tree, dict):
        if tree.keys() == {"tensor"}:
            return tensors[tree["tensor"]]
        return {key: join_tensors(value, tensors) for key, value in tree.items()}
    if isinstance(tree, list):
        return [join_tensors(value, tensors) for value in tree]
    return tree
