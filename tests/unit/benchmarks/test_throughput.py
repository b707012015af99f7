"""The model of throughput gives known times, and responds to what makes kernels fast."""

from dataclasses import replace

import pytest
import torch
from machine_code import Binary, Code, HotLoop, Loop
from throughput import LAUNCH_US, Load, TorchLaunch, TorchWork, Work, kernel_time, load, torch_time


def binary(warps: int, registers: int, shared: int, straight: int, *loops: Loop, hot: HotLoop | None = None) -> Binary:
    """What counts of a kernel."""
    return Binary(warps, 3, registers, 0, shared, "-", 0, Code(straight, loops), (hot,) if hot else ())


def two(buffers: int, copies: int, products: tuple[int, ...], num_bytes: int) -> HotLoop:
    """A loop with two operands."""
    return HotLoop((("b_p", buffers), ("b_s", buffers)), (copies,), products, num_bytes)


def todo(programs: int, *trips: float, megabytes: float, gflop: float = 0.0) -> Load:
    """What a launch has to do."""
    return Load(programs, trips, trips, megabytes * 1e6, gflop * 1e9)


FORWARD = binary(8, 253, 98304, 1528, Loop(195, 2, 0, 0), hot=two(3, 4, (1, 1), 24576))
GRADIENT = binary(8, 255, 131072, 867, Loop(716, 4, 0, 0), hot=two(1, 0, (0,), 66048))
BLOCK = binary(8, 106, 40960, 3983, Loop(290, 16, 0, 0), hot=two(2, 2, (), 20480))
MEAN = binary(4, 72, 4096, 2358, Loop(300, 0, 8, 0))
SCORES = binary(8, 165, 73728, 474, Loop(5054, 0, 16, 0), Loop(93, 4, 0, 1), hot=two(3, 2, (1,), 24576))
TRAINING = binary(8, 120, 73728, 437, Loop(2253, 0, 16, 0), Loop(87, 4, 0, 1), hot=two(3, 2, (1,), 24576))
MSE = binary(4, 36, 16, 405)
WINNERS = binary(1, 72, 0, 394, Loop(144, 0, 7, 0))
# Counts are those of Triton 3.7.1 on sm_90; times are those of an earlier estimate, made by hand.
KNOWN = {
    "embed forward": (FORWARD, todo(516, 64, megabytes=325, gflop=69.1), 132),
    "embed weight gradient, not pipelined": (GRADIENT, todo(528, 32, megabytes=420, gflop=69.1), 390),
    "top-k, blocks": (BLOCK, todo(704, 12, megabytes=143, gflop=4.3), 50),
    "top-k, mean": (MEAN, todo(1024, 3, megabytes=58), 16),
    "scores 64 x 64": (SCORES, todo(2048, 22, 12, megabytes=274, gflop=552), 4500),
    "scores 32 x 32": (TRAINING, todo(512, 6, 12, megabytes=36, gflop=34.5), 135),
    "MSE": (MSE, todo(65856, megabytes=898), 230),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_times(name: str) -> None:
    compiled, given, expected = KNOWN[name]
    assert kernel_time(compiled, given).total == pytest.approx(expected, rel=0.4)


def test_a_loop_that_is_not_pipelined_pays_for_reading_and_computing() -> None:
    _, given, _ = KNOWN["embed weight gradient, not pipelined"]
    pipelined = replace(GRADIENT, hot_loops=(two(2, 3, (0,), 66048),))
    assert kernel_time(pipelined, given).total < 0.75 * kernel_time(GRADIENT, given).total


def test_products_that_are_waited_for_do_not_hide_instructions() -> None:
    _, given, _ = KNOWN["embed forward"]
    waiting = replace(FORWARD, hot_loops=(two(3, 4, (0,), 1024),))
    going_on = replace(FORWARD, hot_loops=(two(3, 4, (1,), 1024),))
    assert kernel_time(waiting, given).span > kernel_time(going_on, given).span


def test_selection_costs_its_instructions() -> None:
    _, given, _ = KNOWN["scores 64 x 64"]
    shorter = replace(SCORES, code=Code(474, (Loop(1000, 0, 16, 0), SCORES.code.loops[1])))
    assert kernel_time(shorter, given).total < 0.6 * kernel_time(SCORES, given).total


def test_one_program_too_many_is_another_wave() -> None:
    def time(programs: int) -> float:
        return kernel_time(FORWARD, todo(programs, 64, megabytes=1)).total

    assert time(132) == time(1)
    assert time(133) > 1.9 * time(132) - LAUNCH_US


def test_one_long_program_holds_up_a_launch() -> None:
    even = todo(21952, 6, megabytes=71)
    hub = replace(even, longest=(8000,))
    assert kernel_time(WINNERS, even).total < 50
    assert kernel_time(WINNERS, hub).total > 1000


def test_bytes_of_a_launch() -> None:
    """A quarter of the patches touch two thirds of the bursts; gathered rows count as often as they are read."""
    meta = {"device": "meta"}
    volume, first = torch.empty(32, 1, 224, 224, 112, dtype=torch.int16, **meta), torch.empty(32, 686, **meta)
    read = load({"p_volume": volume, "p_first": first, "P": 2048, "PD": 8, "grid": (3, 4)}, Work())
    whole = 2 * volume.numel()
    assert read.num_bytes == pytest.approx(whole * (1 - 0.75**4) + 4 * first.numel())
    assert read.programs == 12
    patches = torch.empty(1000, 64, dtype=torch.bfloat16, **meta)
    gathered = load({"p_patches": patches, "E": 64, "grid": (1,)}, Work(num_rows=lambda a: 10))
    assert gathered.num_bytes == 10 * 64 * 2


def test_work_of_torch_is_found() -> None:
    with TorchWork() as work:
        left = torch.zeros(64, 32, device="meta")
        torch.empty(5, device="meta")
        torch.mm(left, left.T)
    assert work.found == [
        TorchLaunch("zeros", 64 * 32 * 4, 0),
        TorchLaunch("mm", 2 * 64 * 32 * 4 + 64 * 64 * 4, 2 * 64 * 64 * 32),
    ]
    assert torch_time(work.found[0]).total == pytest.approx(LAUNCH_US, rel=0.01)
    assert torch_time(TorchLaunch("mm", 1e6, 69.1e9)).total == pytest.approx(100, rel=0.02)
    assert torch_time(TorchLaunch("sort", 1e6, 0)).total > 8 * LAUNCH_US
