"""Keep the inputs of one problem on the device, with what they give in float64."""

from dataclasses import replace
from functools import cached_property

import torch
from measuring import DEVICE
from problems import Problem
from support.kernel_inputs import Call
from torch import Tensor

from simcrop.core.reference import REFERENCE


class Inputs:
    """The inputs of one problem on the device: drawn once, shared by all implementations, freed with the next one."""

    def __init__(self) -> None:
        self._name, self._prepared = "", None

    def of(self, problem: Problem) -> "Prepared":
        """The inputs of the problem."""
        if self._name != problem.name or self._prepared is None:
            self._prepared = None  # the old ones go before the new ones come
            self._name, self._prepared = problem.name, Prepared(problem.make(DEVICE.type))
        return self._prepared


class Prepared:
    """A call on the device, and what it gives in float64."""

    def __init__(self, call: Call) -> None:
        self.call = call

    @cached_property
    def exact(self) -> dict[str, Tensor]:
        """Results in float64, without gradients."""
        with torch.no_grad():
            return replace(self.call, wanted=()).double().forward(REFERENCE)

    @cached_property
    def exact_with_gradients(self) -> dict[str, Tensor]:
        """Results and gradients in float64."""
        return self.call.double().run(REFERENCE)
