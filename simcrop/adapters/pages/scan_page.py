"""A page of scans with maps over them: what it shows, and the one HTML file that it becomes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.pages.html import Panel, html_page
from simcrop.adapters.pages.volumes import coded_hu, coded_map, coded_mask
from simcrop.adapters.system.files import whole_file, writing
from simcrop.core.errors import ConfigError

Point = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Image:
    """Voxels and where they lie.

    Attributes:
        voxels: [X, Y, Z], axes in RAS+ order.
        affine: [4, 4], maps their indices to world coordinates in mm, RAS.
    """

    voxels: NDArray[Any]
    affine: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mask:
    """What is drawn as an outline.

    Attributes:
        name: for the list of outlines.
        image: True inside, on the grid of its scan.
    """

    name: str
    image: Image


@dataclass(frozen=True, eq=False)
class Shown:
    """One entry of the list beside a scan: a sentence, a finding, an organ.

    Attributes:
        title: its text.
        notes: short lines below it.
        score: its number, where it has one.
        best_mm: the place to go to, world coordinates in mm; None stays where one is.
        map: values over the scan, on any grid; NaN where there are none. None draws no map.
        outlines: masks that belong to this entry alone.
        scan: number of the scan that it lies on.
        panel: PNG for printing, and for where there is no WebGL2.
    """

    title: str
    notes: Sequence[str] = ()
    score: float | None = None
    best_mm: Point | None = None
    map: Image | None = None
    outlines: Sequence[Mask] = ()
    scan: int = 0
    panel: bytes | None = None


@dataclass(frozen=True, eq=False)
class ScanPage:
    """All that one page shows.

    Attributes:
        title: of the page.
        scans: HU; at least one.
        shown: the list, at least one.
        measure: name of the scores, such as cosine.
        entries: name of what is listed, such as sentences.
        outlines: masks on the first scan that every entry shows.
        facts: term -> text: model, data, command, versions.
        cautions: sentences that a reader must know; always in sight.
    """

    title: str
    scans: Sequence[Image]
    shown: Sequence[Shown]
    measure: str
    entries: str
    outlines: Sequence[Mask] = ()
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    cautions: Sequence[str] = ()


def write_scan_page(path: Path, page: ScanPage) -> None:
    """Write a page as one HTML file that needs nothing else; the same page gives the same bytes.

    Raises:
        ConfigError: the viewer has not been brought (`niivue`), or the disk refuses.
    """
    panels = [Panel(item.title, item.notes, item.panel) for item in page.shown if item.panel is not None]
    text = html_page(page.title, _data(page), panels, facts=page.facts, cautions=page.cautions)
    with writing(path, ConfigError, "free disk space, or name another file with --out"), whole_file(path) as file:
        file.write(text.encode())


def _data(page: ScanPage) -> dict[str, Any]:
    """What the script of the page reads."""
    return {
        "measure": page.measure,
        "entries": page.entries,
        "scans": [coded_hu(scan.voxels, scan.affine) for scan in page.scans],
        "outlines": [_outline(mask) for mask in page.outlines],
        "shown": [
            {
                "title": item.title,
                "notes": list(item.notes),
                "score": item.score,
                "best_mm": item.best_mm,
                "map": None if item.map is None else coded_map(item.map.voxels, item.map.affine),
                "outlines": [_outline(mask) for mask in item.outlines],
                "scan": item.scan,
            }
            for item in page.shown
        ],
    }


def _outline(mask: Mask) -> dict[str, Any]:
    return {"name": mask.name, **coded_mask(mask.image.voxels, mask.image.affine)}
