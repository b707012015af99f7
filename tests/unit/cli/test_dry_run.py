"""The lines of a dry run, for a size that is known."""

from dataclasses import replace

from simcrop.adapters.config.run import RunConfig
from simcrop.core.recipe import TrainRecipe
from simcrop_cli.dry_run import describe
from simcrop_cli.measure import Size

SIZE = Size(
    parameters={"encoder": (1_500_000, 1_500_000), "text_encoder": (2_000_000, 500_000)},
    base_bytes=250_000_000,
    weight_bytes=500_000_000,
    checkpoint_bytes=400_000_000,
    activation_bytes=1_000_000_000,
    step_seconds=0.5,
    measured_studies=2,
    training_studies=80,
)
CONFIG = replace(RunConfig(), train=TrainRecipe(steps=100, batch_size=4, accumulate=2, warmup_steps=0))


def test_a_global_batch_counts_over_all_processes() -> None:
    config = replace(CONFIG, train=TrainRecipe(steps=100, batch_size=4, global_batch=16, warmup_steps=0))
    (steps,) = [" ".join(line.split()) for line in describe(config, SIZE) if line.startswith("steps")]
    expected = "20.0 epochs of 80 studies; with one process 4 micro-batches a step"
    assert steps == f"steps 100 of 16 studies over all processes: {expected}"


def test_parameters_memory_steps_and_time_are_summed_up() -> None:
    lines = [" ".join(line.split()) for line in describe(CONFIG, SIZE)]
    assert lines == [
        "parameters",
        "encoder 1,500,000",
        "text_encoder 2,000,000 (1,500,000 of them frozen)",
        "all 3,500,000 (2,000,000 trained)",
        "memory about 2.15 GB (weights, gradients and optimizer 0.50 GB; the copy that a checkpoint is written from "
        "0.40 GB; activations of 4 studies 1.00 GB; Python and its libraries 0.25 GB)",
        "steps 100 of 8 studies on each process: 10.0 epochs of 80 studies with one process",
        "time about 50 s: 0.50 s a step, measured on 2 random studies; preparing data and evaluation come on top",
    ]
