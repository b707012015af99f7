"""Numbers that a run has written into its folder, read while it goes on writing."""

import json
from collections.abc import Iterator, Mapping
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from simcrop.adapters.tracking.service import Row


def rows_behind(metrics: Path, place: int, most: int) -> Iterator[tuple[list[Row], int]]:
    """Rows of metrics.jsonl from a place on, some at a time, without what is null: no service draws that.

    Args:
        metrics: the file; it may not be there yet.
        place: bytes to skip, all of them whole lines.
        most: rows at a time.

    Yields:
        (rows, the place behind them); a line that is being written waits for another call.
    """
    if not metrics.exists():
        return
    with metrics.open("rb") as file:
        file.seek(place)
        while lines := [*takewhile(lambda line: line.endswith(b"\n"), islice(file, most))]:
            place += sum(map(len, lines))
            yield (
                [{key: value for key, value in json.loads(line).items() if value is not None} for line in lines],
                place,
            )


def measured(summary: Path) -> dict[str, float]:
    """The numbers of summary.json that no row has, so without the last losses; nothing where there is none."""
    if not summary.exists():
        return {}
    values: Mapping[str, Any] = json.loads(summary.read_text(encoding="utf-8"))
    is_new = {key: key != "step" and "loss" not in key for key in values}
    return {key: value for key, value in values.items() if is_new[key] and isinstance(value, int | float)}
