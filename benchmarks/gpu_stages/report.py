"""Turn the rows of a day into one page: what to decide, then every measurement. Needs no GPU, and no torch."""

import re
from collections.abc import Iterator
from pathlib import Path

from cells import table

from gpu_stages.day import Row, brief
from gpu_stages.decisions import decisions

HEAD = {
    "check": ("what", "seconds", "found"),
    "ops": ("implementation", "ms", "quartiles", "of the floor", "memory, MB", "registers, spills and waits"),
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
    lines += table(("question", "answer", "because"), decisions(rows))
    for stage in HEAD:
        lines += _section(stage, [row for row in rows if row["stage"] == stage])
    failed = [[f"{row['stage']}: {row['name']}", brief(row).replace("|", "/")] for row in rows if "error" in row]
    if failed:
        lines += ["", "## Failed", "", *table(("row", "error"), _cells(failed))]
    return f"{name}.md", "\n".join(lines) + "\n"


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
        lines += _categories([row for row in rows if "categories" in row])
    return lines


def _row(row: Row) -> list[str]:
    match row["stage"]:
        case "check":
            return [row["name"], f"{row['seconds']:.1f}", row.get("says") or row.get("skipped") or "as exact as asked"]
        case "ops":
            name = f"{row['implementation']}{'' if row['is_captured'] else ' *'}"
            return [name, *_times(row), _share(row["of_floor"]), f"{row['peak_mb']:.0f}", _compiled(row["kernels"])]
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


def _compiled(kernels: dict[str, Row]) -> str:
    """Kernel 255/0/[1, 2]: registers, spills, waits."""
    parts = [f"{name} {k['registers']}/{k['spills']}/{k['waits']}" for name, k in kernels.items()]
    return ", ".join(parts) or "-"


def _categories(rows: list[Row]) -> list[str]:
    """Where the time of each variant of a step goes, in ms."""
    names = sorted({name for row in rows for name in row["categories"]})
    cells = [[row["name"], *(f"{row['categories'].get(name, 0):.1f}" for name in names)] for row in rows]
    return ["", *table(("ms of kernels", *names), cells)] if rows else []


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
