"""Inputs of one problem at a time."""

import gc
import weakref
from dataclasses import replace

from inputs import Inputs
from problems import REHEARSAL, problems


def test_inputs_are_drawn_once_and_freed_before_the_next_are_drawn() -> None:
    first, second, *_ = problems(REHEARSAL)
    inputs = Inputs()
    kept = inputs.of(first)
    assert inputs.of(first) is kept
    gone = weakref.ref(kept)
    del kept
    freed: list[bool] = []

    def make(device: str) -> object:
        gc.collect()
        freed.append(gone() is None)
        return second.make(device)

    inputs.of(replace(second, make=make))
    assert freed == [True]
