"""Tables of measured numbers, from the trees of metrics.json and summary.json: each beside its interval and chance."""

from collections.abc import Iterator, Mapping
from typing import Any

from simcrop.adapters.pages.run_page import Table

_INTERVAL = {"value", "low", "high"}
_AREAS = ("auroc", "auc")
_MOST_COLUMNS = 8
_WORDS = {"auroc": "AUROC", "auc": "AUC", "iou": "IoU", "num": "number of", "f1": "F1"}
_BESIDE = ("chosen", "prompts", "counts")
"""Sections that hold no results."""


def metric_tables(metrics: Mapping[str, Any]) -> list[Table]:
    """The numbers of an evaluation: one table of those at the top, and one for each group, such as the findings.

    Args:
        metrics: a tree; an interval is {"value", "low", "high"}.
    """
    tables: list[Table] = []
    rows = [*_rows(metrics)]
    if rows:
        tables.append(Table(("measure", "value", "chance"), rows))
    for name, group in metrics.items():
        if not isinstance(group, Mapping) or group.keys() >= _INTERVAL or name in _BESIDE:
            continue
        members = {key: value for key, value in group.items() if isinstance(value, Mapping)}
        if members and not any(member.keys() >= _INTERVAL for member in members.values()):
            tables.append(_table_of(words(name), members))
        else:
            tables += [
                Table(table.columns, table.rows, title=words(name) if not table.title else table.title)
                for table in metric_tables(group)
            ]
    return tables


def summary_tables(summary: Mapping[str, Any]) -> list[Table]:
    """The numbers of a run's summary, by what they are of: maps, probe, and the rest."""
    groups: dict[str, list[Row]] = {title: [] for title in (*_SUMMARY.values(), "run")}
    for key, value in summary.items():
        if not isinstance(value, int | float) or key.endswith("_chance"):
            continue
        start = next((start for start in _SUMMARY if key.startswith(start)), "")
        name, prefix = key.removeprefix(start), key.removesuffix("hit_rate")
        chance = summary.get(f"{prefix}chance") if prefix != key else _chance(name, {})
        groups[_SUMMARY.get(start, "run")].append((words(name), number(value), number(chance)))
    return [Table(("measure", "value", "chance"), rows, title) for title, rows in groups.items() if rows]


_SUMMARY = {"grounding_": "maps of sentences", "probe_": "linear probe"}
Row = tuple[str | tuple[str, str], ...]


def number(value: Any) -> str:
    """A number as it is read; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, str | int):
        return str(value)
    return f"{value:.3f}" if 0.001 <= abs(value) < 1e4 or value == 0 else f"{value:.3g}"


def words(name: str) -> str:
    """A key in words."""
    return " ".join(_WORDS.get(part, part) for part in name.split("_"))


def _rows(metrics: Mapping[str, Any]) -> Iterator[Row]:
    for name, value in metrics.items():
        if name.endswith("_chance") and name.removesuffix("_chance") in metrics:
            continue
        is_interval = isinstance(value, Mapping) and value.keys() >= _INTERVAL
        if is_interval or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield words(name), _cell(value), number(_plain(_chance(name, metrics)))


def _chance(name: str, metrics: Mapping[str, Any]) -> Any:
    """What chance gives: as it was measured beside the number, or one half for an area under the curve."""
    if f"{name}_chance" in metrics:
        return metrics[f"{name}_chance"]
    if name == "hit_rate" and "chance" in metrics:
        return metrics["chance"]
    return 0.5 if any(part in _AREAS for part in name.split("_")) else None


def _table_of(title: str, members: Mapping[str, Mapping[str, Any]]) -> Table:
    kept: dict[str, None] = {}
    for member in members.values():
        for key, value in member.items():
            if isinstance(value, int | float) or (isinstance(value, Mapping) and value.keys() >= _INTERVAL):
                kept[key] = None
    columns = list(kept)[:_MOST_COLUMNS]
    rows = [(name, *(_cell(member.get(column)) for column in columns)) for name, member in members.items()]
    return Table(("", *map(words, columns)), rows, title)


def _cell(value: Any) -> str | tuple[str, str]:
    if isinstance(value, Mapping):
        if value.get("value") is None:
            return ""
        if value.get("low") is None:
            return number(value["value"])
        return number(value["value"]), f"{number(value['low'])} to {number(value['high'])}"
    return number(value) if isinstance(value, int | float) else ""


def _plain(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value
