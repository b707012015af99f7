"""Progress: what a person reads on a terminal and in a log file."""

import io

import pytest
from rich.console import Console

from simcrop.adapters.system.progress import Bar, counted, duration
from simcrop.adapters.tracking.terminal import TrainingProgress

ROW = {
    "loss": 6.5,
    "loss_reconstruction": 1.0,
    "loss_report": 2.0,
    "loss_alignment": 3.0,
    "loss_late_interaction": 0.5,
    "studies_per_second": 41.26,
    "data_wait": 0.034,
}


class Clock:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=160), out


def run(sink: TrainingProgress, clock: Clock, steps: range, seconds: float = 2.0) -> None:
    for step in steps:
        clock.now += seconds
        sink.write({"step": step, **ROW})


def test_a_log_gets_plain_lines_at_most_every_ten_seconds_and_the_last_step() -> None:
    screen, out = console(terminal=False)
    clock = Clock()
    sink = TrainingProgress(20, console=screen, clock=clock)
    run(sink, clock, range(1, 21))
    sink.close()
    lines = out.getvalue().splitlines()
    assert "\x1b" not in out.getvalue()
    assert [line.split()[1] for line in lines] == ["1/20", "6/20", "11/20", "16/20", "20/20"]


def test_a_line_has_every_term_the_speed_the_data_share_and_the_time_left() -> None:
    screen, out = console(terminal=False)
    clock = Clock()
    run(TrainingProgress(100, console=screen, clock=clock), clock, range(1, 2))
    assert out.getvalue().strip() == (
        "step 1/100  loss 6.500 (reconstruction 1.000, report 2.000, alignment 3.000, late_interaction 0.500)  "
        "41.3 studies/s  3 % waiting for data  3 min 18 s left"
    )


def test_terms_that_are_switched_off_are_left_out() -> None:
    screen, out = console(terminal=False)
    TrainingProgress(1, console=screen, clock=Clock()).write({"step": 1, "loss": 1.0, "loss_report": 1.0})
    assert "(report 1.000)" in out.getvalue()
    assert "alignment" not in out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_held_out_losses_get_a_line_of_their_own(terminal: bool) -> None:
    screen, out = console(terminal=terminal)
    sink = TrainingProgress(30, console=screen, clock=Clock())
    sink.write({"step": 10, "loss": 1.0, "validation_loss": 2.5, "validation_loss_report": 2.5})
    sink.close()
    assert "step 10/30  held-out loss 2.500 (report 2.500)" in out.getvalue()


def test_a_terminal_gets_a_bar_and_its_cursor_back() -> None:
    screen, out = console(terminal=True)
    clock = Clock()
    sink = TrainingProgress(4, console=screen, clock=clock)
    run(sink, clock, range(1, 4))
    sink.close()
    assert "3/4" in out.getvalue()
    assert "alignment 3.000" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[?25h")


def test_the_time_left_of_a_resumed_run_counts_from_where_it_resumed() -> None:
    screen, out = console(terminal=False)
    clock = Clock()
    sink = TrainingProgress(100, console=screen, clock=clock)
    clock.now = 500.0
    sink.rewind(90)
    run(sink, clock, range(91, 92))
    assert "18 s left" in out.getvalue()


def test_the_time_left_follows_a_machine_that_slows_down() -> None:
    screen, out = console(terminal=False)
    clock = Clock()
    sink = TrainingProgress(200, console=screen, clock=clock)
    run(sink, clock, range(1, 50), seconds=1.0)
    run(sink, clock, range(50, 101), seconds=10.0)
    assert "16 min" in out.getvalue().splitlines()[-1]


def test_counted_work_shows_the_end_and_survives_work_that_fails() -> None:
    screen, out = console(terminal=False)
    with counted("phantom chests", console=screen) as progress:
        progress(1, 3)
        progress(3, 3)
    assert out.getvalue().splitlines() == ["phantom chests 1/3", "phantom chests 3/3"]

    def fail() -> None:
        with counted("volumes", console=console(terminal=True)[0]) as progress:
            progress(1, 3)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fail()


def test_square_brackets_in_a_line_are_text() -> None:
    screen, out = console(terminal=False)
    Bar("work", 1, console=screen).note("scan [bold].nii.gz")
    assert out.getvalue() == "scan [bold].nii.gz\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (12.4, "12 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (3900, "1 h 5 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
