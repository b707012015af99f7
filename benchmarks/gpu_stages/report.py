"""Turn the rows of a day into one page: what to decide, then every measurement. Needs no GPU, and no torch."""

import re
from collections.abc import Iterator
from pathlib import Path

from cells import table

from gpu_stages.day import Row, brief
from gpu_stages.decisions import decisions

WRONG = "not timed, it is wrong in "
"""In the error of a row that the gate refused."""
HEAD = {
    "check": ("what", "seconds", "found"),
    "ops": ("implementation", "ms", "quartiles", "of the floor", "memory, MB", "kernels: us, registers/spills/waits"),
    "attention": ("shape and backend", "ms", "quartiles", "TFLOP/s", "of the ceiling"),
    "step": ("variant", "ms", "quartiles", "studies/s", "of the ceiling", "peak, GB", "launches", "idle"),
    "loader": ("workers", "studies/s", "GB/s"),
}


def write_page(rows: list[Row], *, rehearsed: bool) -> tuple[str, str]:
    """The page of a day.

    Args:
        rows: of all stages.
        rehearsed: says so on the page: its numbers mean nothing.

    Returns:
        Its file name, GPU-NAME.md after the machine, and its text.
    """
    machine = next((row for row in rows if row["name"] == "machine"), {})
    gpu = str(machine.get("gpu", "unknown"))
    name = re.sub(r"[^\w.]+", "-", gpu if gpu.lower().startswith("nvidia") else f"GPU {gpu}").strip("-")
    lines = [f"# {gpu}", "", "Made by `benchmarks/gpu_day.py`. Times are medians, with quartiles beside them.", ""]
    if rehearsed:
        lines += ["**A rehearsal with tiny sizes on a CPU: the numbers mean nothing.**", ""]
    lines += [f"Measured on {machine.get('hardware', 'an unknown machine')}.", *_ceilings(rows), "", "## Decisions", ""]
    lines += table(("question", "answer", "because"), _cells(decisions(rows)))
    for stage in HEAD:
        lines += _section(stage, [row for row in rows if row["stage"] == stage])
    lines += _refused([row for row in rows if WRONG in row.get("error", "")])
    failed = [row for row in rows if "error" in row and WRONG not in row["error"]]
    if failed:
        cells = ([f"{row['stage']}: {row['name']}", brief(row)] for row in failed)
        lines += ["", "## Failed", "", *table(("row", "error"), _cells(cells))]
    return f"{name}.md", "\n".join(lines) + "\n"


def _refused(rows: list[Row]) -> list[str]:
    """What the gate let nobody time: each implementation with its first error."""
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(row["name"].rpartition(" | ")[2], []).append(row)
    cells = [
        [name, str(len({row["name"].rpartition(": ")[0] for row in found})), found[0]["error"].partition(WRONG)[2]]
        for name, found in members.items()
    ]
    head = ("implementation", "problems", "at the first of them")
    return ["", "## Not timed, for a wrong result", "", *table(head, _cells(cells))] if cells else []


def _ceilings(rows: list[Row]) -> Iterator[str]:
    for row in rows:
        if "tb_per_s" in row:
            yield (
                f"Ceilings: {row['tflops']:.0f} TFLOP/s for products of 8192 x 8192 in bf16, {row['tb_per_s']:.2f} "
                "TB/s for copies, reads and writes counted. Floors are what these would need. *: not captured as a "
                "CUDA graph, so launches may count."
            )


def _section(stage: str, rows: list[Row]) -> list[str]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if "error" not in row:
            groups.setdefault(row["name"].rpartition(" | ")[0] if stage == "ops" else "", []).append(row)
    lines = ["", f"## {stage}"] if groups else []
    for group, members in groups.items():
        ordered = sorted(members, key=lambda row: row.get("ms", 0)) if stage == "ops" else members
        lines += [*(["", f"### {group}"] if group else []), "", *table(HEAD[stage], _cells(map(_row, ordered)))]
    if stage == "step":
        profiles = [row for row in rows if "categories" in row]
        lines += [*_categories(profiles), *_longest(profiles)]
    return lines


def _row(row: Row) -> list[str]:
    match row["stage"]:
        case "check":
            return [row["name"], f"{row['seconds']:.1f}", row.get("says") or row.get("skipped") or "as exact as asked"]
        case "ops":
            name = f"{row['implementation']}{'' if row['is_captured'] else ' *'}"
            return [name, *_times(row), _share(row["of_floor"]), f"{row['peak_mb']:.0f}", _kernels(row)]
        case "attention":
            return [row["name"], *_times(row), f"{row['tflops']:.3g}", _share(row["of_ceiling"])]
        case "loader":
            return [row["name"], f"{row['studies_per_s']:.1f}", f"{row['gb_per_s']:.2f}"]
    numbers = [f"{row['studies_per_s']:.1f}", _share(row["of_ceiling"]), f"{row['peak_gb']:.2f}"]
    return [row["name"], *_times(row), *numbers, str(row["launches"]), _share(row["idle_share"])]


def _times(row: Row) -> list[str]:
    return [f"{row['ms']:.3f}", f"{row['low_ms']:.3f} - {row['high_ms']:.3f}"]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _kernels(row: Row) -> str:
    """Kernel 12.5 255/0/[1, 2]: microseconds, if they are known; registers, spills and waits of ours."""
    compiled = {name: f" {k['registers']}/{k['spills']}/{k['waits']}" for name, k in row["kernels"].items()}
    spent = {name.strip("_"): f" {us:.1f}" for name, us in row.get("kernel_us", {}).items()}
    return ", ".join(f"{name}{spent.get(name, '')}{compiled.get(name, '')}" for name in spent | compiled) or "-"


def _categories(rows: list[Row]) -> list[str]:
    """Where the time of each variant of a step goes, in ms."""
    names = sorted({name for row in rows for name in row["categories"]})
    cells = [[row["name"], *(f"{row['categories'].get(name, 0):.1f}" for name in names)] for row in rows]
    return ["", *table(("ms of kernels", *names), cells)] if rows else []


def _longest(rows: list[Row]) -> list[str]:
    """The ten longest kernels of each variant of a step, in ms."""
    times = [{name[:60]: spent for name, spent in row.get("longest", {}).items()} for row in rows]
    names = dict.fromkeys(name for found in times for name in found)
    cells = [[name, *(f"{found[name]:.1f}" if name in found else "-" for found in times)] for name in names]
    head = ("ms of the ten longest kernels", *(row["name"] for row in rows))
    return ["", *table(head, _cells(cells))] if cells else []


def _cells(rows: object) -> Iterator[list[str]]:
    """Cells without a line of the table in them."""
    for row in rows:  # pyright: ignore[reportGeneralTypeIssues]
        yield [str(cell).replace("|", "/").replace("\n", " ") for cell in row]


def write_report(rows: list[Row], folders: list[Path], *, rehearsed: bool) -> list[Path]:
    """Write the page into every folder; its paths."""
    name, text = write_page(rows, rehearsed=rehearsed)
    paths = [folder / name for folder in folders]
    for path in paths:
        path.write_text(text, encoding="utf-8")
    return paths
