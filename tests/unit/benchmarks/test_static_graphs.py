"""A compiled function is proven to be one static graph; whatever else Dynamo may do is refused."""

import pytest
import torch
from static_graphs import Static, as_traced
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException


def doubled(values: Tensor) -> Tensor:
    return values * 2


def test_every_size_gets_a_static_graph_of_its_own() -> None:
    for size in range(2, 14):  # more sizes than Dynamo compiles one function for
        function = Static(doubled, as_traced(""))
        assert function(torch.ones(size)).sum() == 2 * size
        function.check()
        assert (function.graphs, function.symbolic) == (1, 0)


def test_a_function_that_was_called_with_another_size_is_refused() -> None:
    function = Static(doubled, as_traced(""))
    function(torch.ones(2))
    function(torch.ones(3))
    with pytest.raises(AssertionError, match="2 compiled"):
        function.check()


def test_a_function_that_was_not_called_is_refused() -> None:
    with pytest.raises(AssertionError, match="0 calls"):
        Static(doubled, as_traced("")).check()


def test_a_graph_that_breaks_is_refused() -> None:
    def printed(values: Tensor) -> Tensor:
        print(float(values.sum()))
        return values * 2

    with pytest.raises(TorchDynamoException):
        Static(printed, as_traced(""))(torch.ones(2))
