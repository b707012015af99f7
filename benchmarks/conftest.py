"""The fixture that times, and the tables at the end: one a group, best baseline first compared."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

if os.environ.get("TRITON_INTERPRET") == "1":
    raise pytest.UsageError("benchmarks measure nothing under TRITON_INTERPRET=1; unset it")

from cells import table as markdown
from measuring import DEVICE, Timing, ceilings, device_timing, hardware, peak_bytes, versions

OURS = "simcrop"
LAUNCHED = " *"
"""Marks what could not be captured as a CUDA graph."""


def pytest_configure(config: pytest.Config) -> None:
    """Our tables say what the plugin's would."""
    if hasattr(config.option, "benchmark_quiet"):
        config.option.benchmark_quiet = True


@pytest.fixture
def measure(benchmark) -> Callable[..., None]:
    """Time a function once it has been checked: `measure(group, name, run, flops=, num_bytes=)`."""

    def time(
        group: str,
        name: str,
        run: Callable[[], object],
        *,
        flops: float,
        num_bytes: float,
        rounds: int = 7,
    ) -> None:
        benchmark.group = group
        info = benchmark.extra_info
        info |= {"implementation": name, "device": str(DEVICE), "flops": flops, "bytes": num_bytes}
        info["peak_bytes"] = peak_bytes(run)
        limits = ceilings()
        if limits is not None:
            timing = device_timing(run)
            benchmark.pedantic(run, rounds=1)
            info["fraction_of_floor"] = limits.floor_ms(flops, num_bytes) / timing.median
        else:
            benchmark.pedantic(run, rounds=rounds, warmup_rounds=1)
            timing = benchmark.stats and Timing.of([1e3 * seconds for seconds in benchmark.stats.stats.data])
        if timing:
            info |= row_of(timing, flops, num_bytes)

    return time


def row_of(timing: Timing, flops: float, num_bytes: float) -> dict[str, float | bool]:
    """Times and rates."""
    return {
        "median_ms": timing.median,
        "low_ms": timing.low,
        "high_ms": timing.high,
        "is_captured": timing.is_captured,
        "gflops": flops / timing.median / 1e6,
        "gb_per_s": num_bytes / timing.median / 1e6,
    }


@pytest.fixture
def measure_reading(benchmark) -> Callable[..., None]:
    """Time what reads files, on the wall: `measure_reading(group, name, run, volumes=, num_bytes=, ...)`."""

    def time(
        group: str,
        name: str,
        run: Callable[[], object],
        *,
        volumes: int,
        num_bytes: int,
        rounds: int,
        before: Callable[[], None] = lambda: None,
        asked: Mapping[str, float] | None = None,
    ) -> None:
        """`before` runs untimed before each round; `asked`: how many times as fast as which others it has to be.

        There is no warm-up: the gate before it has read the same.
        """
        benchmark.group = group
        benchmark.pedantic(run, setup=before, rounds=rounds)
        info = benchmark.extra_info
        info |= {"implementation": name, "volumes": volumes, "bytes": num_bytes, "asked": dict(asked or {})}
        info["median_ms"] = 1e3 * benchmark.stats.stats.median if benchmark.stats else None
        if info["median_ms"]:
            info["volumes_per_s"] = 1e3 * volumes / info["median_ms"]
            info["mb_per_s"] = num_bytes / info["median_ms"] / 1e3

    return time


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    """One table a group: time, ratio to the best baseline, share of the floor, memory."""
    session = getattr(config, "_benchmarksession", None)
    groups: dict[str, list[dict]] = {}
    for done in session.benchmarks if session else []:
        info = done.extra_info
        if info.get("median_ms"):
            groups.setdefault(done.group, []).append(info)
    if not groups:
        return
    lines = [f"Measured on {hardware()}. Times are medians.", *ceilings_line()]
    everything = [row for rows in groups.values() for row in rows]
    if any("volumes" in row for row in everything):
        lines.append(f"Volumes are read with {versions('numpy', 'nibabel', 'monai')}.")
    if DEVICE.type != "cuda" and any("gflops" in row for row in everything):
        lines.append("The Triton kernels need a GPU: here is the reference on a CPU.")
    for group, rows in groups.items():
        lines += ["", f"### {group}", "", *(reading_table if "volumes" in rows[0] else table)(rows)]
    lines += asked_table(everything)
    text = "\n".join(lines)
    terminalreporter.write_line("\n" + text)
    if target := os.environ.get("BENCH_TABLES"):
        Path(target).write_text(text + "\n", encoding="utf-8")


def ceilings_line() -> list[str]:
    """The ceilings that floors are made of, on a GPU."""
    limits = ceilings()
    if limits is None:
        return []
    return [
        f"Ceilings measured first: {limits.tflops:.0f} TFLOP/s (8192 x 8192 products in bf16) and "
        f"{limits.tb_per_s:.2f} TB/s (a copy, reads and writes counted). *: not a CUDA graph, so launches may count."
    ]


def table(rows: list[dict]) -> list[str]:
    """A group as markdown; `x` is how many times faster than the best baseline, or than the first row without one."""
    others = [row["median_ms"] for row in rows if not row["implementation"].startswith(OURS)]
    best = min(others or [rows[0]["median_ms"]])
    on_gpu = any("fraction_of_floor" in row for row in rows)
    floor = ["of the floor"] if on_gpu else []
    head = ["implementation", "ms", "quartiles", "x best baseline", *floor, "GFLOP/s", "GB/s", "extra memory, MB"]
    cells = [
        [
            f"{row['implementation']}{LAUNCHED if on_gpu and not row['is_captured'] else ''}",
            f"{row['median_ms']:.3f}",
            f"{row['low_ms']:.3f} - {row['high_ms']:.3f}",
            f"{best / row['median_ms']:.2f}",
            *([f"{row['fraction_of_floor']:.0%}"] if on_gpu else []),
            f"{row['gflops']:,.0f}",
            f"{row['gb_per_s']:.1f}",
            f"{row['peak_bytes'] / 1e6:.0f}",
        ]
        for row in sorted(rows, key=lambda row: row["median_ms"])
    ]
    return markdown(head, cells)


def reading_table(rows: list[dict]) -> list[str]:
    """As `table`, of what reads files; MB are those of the voxels that are returned or begun with."""
    others = [row["median_ms"] for row in rows if not row["implementation"].startswith(OURS)]
    best = min(others or [rows[0]["median_ms"]])
    lines = ["| implementation | ms | x best baseline | volumes/s | MB/s |", "|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: row["median_ms"]):
        lines.append(
            f"| {row['implementation']} | {row['median_ms']:.2f} | {best / row['median_ms']:.2f} | "
            f"{row['volumes_per_s']:,.1f} | {row['mb_per_s']:,.0f} |"
        )
    return lines


def asked_table(rows: list[dict]) -> list[str]:
    """Every ratio that was asked for, of medians of this run, and whether it is reached."""
    times = {row["implementation"]: row["median_ms"] for row in rows}
    lines = [
        f"| {row['implementation']} | {other} | {factor:g} | {times[other] / row['median_ms']:,.1f} | "
        f"{'yes' if times[other] >= factor * row['median_ms'] else 'no'} |"
        for row in rows
        for other, factor in row.get("asked", {}).items()
        if other in times
    ]
    head = ["| of | times as fast as | asked | measured | reached |", "|---|---|---|---|---|"]
    return ["", "### ratios asked for", "", *head, *lines] if lines else []
