"""TensorBoard: each step once, and figures beside."""

import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from simcrop.adapters.tracking.tensorboard import TensorBoardMetrics


def scalars(folder: Path, key: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(key)]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path: Path) -> None:
    first = TensorBoardMetrics(tmp_path)
    for step in (1, 2, 3):
        first.write({"step": step, "loss": float(step)})
    first.close()
    time.sleep(1.1)  # files of one second are read in the order of a counter's digits
    second = TensorBoardMetrics(tmp_path)
    second.rewind(2)
    second.write({"step": 3, "loss": 30.0, "lr": 0.5})
    second.close()
    assert scalars(tmp_path, "loss") == [(1, 1.0), (2, 2.0), (3, 30.0)]
    assert scalars(tmp_path, "lr") == [(3, 0.5)]
