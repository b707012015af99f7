"""Compile a function for the shapes that it is given, and prove that this is what ran."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.utils import counters

Backend = Callable[[torch.fx.GraphModule, Sequence[Any]], Callable[..., Any]]


def inductor(mode: str) -> Backend:
    """torch.compile's own backend in one of its modes."""

    def compiled(module: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        from torch._inductor import list_mode_options
        from torch._inductor.compile_fx import compile_fx

        return compile_fx(module, list(inputs), config_patches=list_mode_options(mode))

    return compiled


def as_traced(mode: str) -> Backend:
    """A backend that compiles nothing, for rehearsals: Dynamo's part in it is the same."""
    return lambda module, inputs: module.forward


class Static:
    """A function compiled by itself: what Dynamo knew of others is forgotten, and it may not fall back to eager.

    Dynamo keeps what it learns by code object. A function that it has seen with other shapes would get a graph with
    symbolic ones, and after eight none at all.
    """

    def __init__(self, function: Callable[..., object], backend: Backend) -> None:
        torch._dynamo.reset()
        counters.clear()
        self.calls = self.runs = self.graphs = self.symbolic = 0
        self._backend = backend
        self._compiled = torch.compile(function, backend=self._watched, dynamic=False, fullgraph=True)

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.calls += 1
        return self._compiled(*args, **kwargs)

    def _watched(self, module: torch.fx.GraphModule, inputs: Sequence[Any]) -> Callable[..., Any]:
        self.graphs += 1
        self.symbolic += any(_is_symbolic(each) for each in inputs)
        run = self._backend(module, inputs)

        def counted(*args: Any) -> Any:
            self.runs += 1
            return run(*args)

        return counted

    def check(self) -> None:
        """Prove that every call ran one graph of fixed shapes.

        Raises:
            AssertionError: with what happened in place of it.
        """
        seen = f"{self.calls} calls ran {self.runs} graphs; {self.graphs} compiled, {self.symbolic} symbolic"
        assert self.runs == self.calls > 0, seen
        assert (self.graphs, self.symbolic) == (1, 0), seen
        assert counters["stats"]["unique_graphs"] == 1, dict(counters["stats"])
        assert not counters["graph_break"], dict(counters["graph_break"])


def _is_symbolic(value: object) -> bool:
    sizes = value.shape if isinstance(value, Tensor) else [value]
    return any(isinstance(size, torch.SymInt) for size in sizes)
