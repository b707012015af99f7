"""Print the size of a run before it begins: `simcrop train --dry-run`."""

from simcrop.adapters.config.run import RunConfig
from simcrop.adapters.config.settings import as_yaml
from simcrop.adapters.system.progress import duration
from simcrop.compose.tracking import require_packages
from simcrop_cli.measure import Size, measure


def print_dry_run(config: RunConfig) -> None:
    """Print size, memory and time of a run, then its resolved configuration; refuse a tracker that is missing."""
    require_packages(config)
    print("\n".join(describe(config, measure(config))))
    print(f"\n# {config.name}: every key, defaults included\n{as_yaml(config)}", end="")


def describe(config: RunConfig, size: Size) -> list[str]:
    """The lines that sum a run up."""
    train = config.train
    total, trained = (sum(counts[i] for counts in size.parameters.values()) for i in (0, 1))
    lines = ["parameters"]
    for part, (count, free) in size.parameters.items():
        frozen = "" if free == count else f"  ({count - free:,} of them frozen)"
        lines.append(f"  {part:<18} {count:>13,}{frozen}")
    lines.append(f"  {'all':<18} {total:>13,}  ({trained:,} trained)")
    needed = size.base_bytes + size.weight_bytes + size.checkpoint_bytes + size.activation_bytes
    lines.append(
        f"memory               about {_gigabytes(needed)} (weights, gradients and optimizer "
        f"{_gigabytes(size.weight_bytes)}; the copy that a checkpoint is written from "
        f"{_gigabytes(size.checkpoint_bytes)}; activations of {train.batch_size} studies "
        f"{_gigabytes(size.activation_bytes)}; Python and its libraries {_gigabytes(size.base_bytes)})"
    )
    per_step = train.studies_per_update(1)
    epochs = f"{train.steps * per_step / max(1, size.training_studies):.1f} epochs of {size.training_studies} studies"
    if train.global_batch is None:
        taken = f"on each process: {epochs} with one process"
    else:
        taken = f"over all processes: {epochs}; with one process {train.micro_batches(1)} micro-batches a step"
    lines.append(f"steps                {train.steps} of {per_step} studies {taken}")
    lines.append(
        f"time                 about {duration(train.steps * size.step_seconds)}: {size.step_seconds:.2f} s a step, "
        f"measured on {size.measured_studies} random studies; preparing data and evaluation come on top"
    )
    return lines


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"
