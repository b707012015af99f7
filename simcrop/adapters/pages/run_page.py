"""The page of a run: what it was, how it went, and what was measured of it, in one HTML file for a mail."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from simcrop.adapters.pages.html import as_json, filled, page_file, policy, terms_html
from simcrop.adapters.system.files import whole_file, writing
from simcrop.core.errors import ConfigError


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    Attributes:
        name: in the legend.
        x: steps, ascending.
        y: as many values; None leaves a gap.
        has_dots: whether each value is marked, as of few ones.
    """

    name: str
    x: Sequence[int]
    y: Sequence[float | None]
    has_dots: bool = False


@dataclass(frozen=True)
class Chart:
    """Lines over the steps of a run.

    Attributes:
        title: above it.
        series: its lines.
        is_log: whether its values are drawn by their logarithm.
    """

    title: str
    series: Sequence[Series]
    is_log: bool = False


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        columns: names.
        rows: cells; a tuple (number, interval) shows the interval small beside the number.
        title: above it.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]
    title: str = ""


@dataclass(frozen=True)
class Part:
    """A part of the page, such as an evaluation.

    Attributes:
        title: of the part.
        lines: sentences above the tables.
        tables: its numbers.
        pictures: caption -> PNG.
        links: name -> file, relative to the page.
    """

    title: str
    lines: Sequence[str] = ()
    tables: Sequence[Table] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict[str, bytes])
    links: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class RunPage:
    """All that the page shows.

    Attributes:
        title: of the page.
        lead: one line below it.
        warnings: what a reader must know first.
        charts: curves.
        parts: in this order.
        methods: a paragraph to paste.
        facts: term -> text: versions, hashes, machine.
        configuration: YAML.
    """

    title: str
    lead: str
    warnings: Sequence[str]
    charts: Sequence[Chart]
    parts: Sequence[Part]
    methods: str
    facts: Mapping[str, str]
    configuration: str


def write_run_page(path: Path, page: RunPage) -> None:
    """Write the page as one HTML file that needs nothing else; the same page gives the same bytes.

    Raises:
        ConfigError: the disk refuses.
    """
    style, script = page_file("report.css"), page_file("report.js")
    anchors = [("curves", "Curves"), *((f"part-{i}", part.title) for i, part in enumerate(page.parts))]
    anchors += [("methods", "Methods"), ("configuration", "Configuration")]
    text = filled(
        "report.html",
        {
            "policy": policy(scripts=(script,), styles=(style,)),
            "title": html.escape(page.title),
            "style": style,
            "contents": "".join(f'<a href="#{anchor}">{html.escape(title)}</a>' for anchor, title in anchors),
            "lead": html.escape(page.lead),
            "warnings": _list("warnings", page.warnings),
            "parts": "\n".join(_part(f"part-{i}", part) for i, part in enumerate(page.parts)),
            "methods": html.escape(page.methods),
            "facts": terms_html(page.facts),
            "configuration": html.escape(page.configuration),
            "data": as_json({"charts": [_chart(chart) for chart in page.charts]}),
            "script": script,
        },
    )
    with writing(path, ConfigError, "free disk space, or name another file with --out"), whole_file(path) as file:
        file.write(text.encode())


def _chart(chart: Chart) -> dict[str, object]:
    series = [{"name": s.name, "x": list(s.x), "y": list(s.y), "dots": s.has_dots} for s in chart.series]
    return {"title": chart.title, "log": chart.is_log, "series": series}


def _part(anchor: str, part: Part) -> str:
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in part.lines)
    pictures = "".join(_picture(caption, png) for caption, png in part.pictures.items())
    links = " · ".join(
        f'<a href="{html.escape(file, quote=True)}">{html.escape(name)}</a>' for name, file in part.links.items()
    )
    tables = "".join(map(_table, part.tables))
    shown = f"{lines}{tables}{pictures}{f'<p>{links}</p>' if links else ''}"
    return f'<section id="{anchor}"><h2>{html.escape(part.title)}</h2>{shown}</section>'


def _list(name: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences)
    return f'<ul class="{name}">{items}</ul>' if items else ""


def _table(table: Table) -> str:
    title = f"<h3>{html.escape(table.title)}</h3>" if table.title else ""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f'{title}<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'


def _cell(cell: str | tuple[str, str]) -> str:
    if isinstance(cell, str):
        return f"<td>{html.escape(cell)}</td>"
    value, interval = cell
    return f"<td>{html.escape(value)}<small>{html.escape(interval)}</small></td>"


def _picture(caption: str, png: bytes) -> str:
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    name = html.escape(caption)
    return f'<figure><figcaption>{name}</figcaption><img src="{source}" alt="{name}"></figure>'
