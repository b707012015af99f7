"""Times are medians with quartiles, and ceilings are measured."""

import time

import pytest
from measuring import Ceilings, Timing, measured_ceilings, timed


def test_a_timing_is_the_median_and_the_quartiles() -> None:
    assert Timing.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Timing(3.0, 2.0, 4.0)


def test_a_function_is_timed_as_often_as_asked() -> None:
    calls: list[int] = []

    def wait() -> None:
        calls.append(1)
        time.sleep(0.01)

    timing = timed(wait, rounds=3)
    assert len(calls) == 3
    assert 10 <= timing.low <= timing.median <= timing.high


def test_the_floor_is_the_longer_of_products_and_copies() -> None:
    limits = Ceilings(tflops=800, tb_per_s=4)
    assert limits.floor_ms(800e9, 1) == pytest.approx(1)
    assert limits.floor_ms(800e9, 8e9) == pytest.approx(2)


def test_ceilings_are_those_of_this_machine() -> None:
    small = measured_ceilings(num_bytes=2**22, side=128, rounds=3)
    assert 0 < small.tflops < 1000
    assert 1e-4 < small.tb_per_s < 10
