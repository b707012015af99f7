"""A page of scans with maps over them: what it shows, and the one HTML file that it becomes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.pages.html import Panel, html_page
from simcrop.adapters.pages.volumes import coded_classes, coded_hu, coded_map, coded_mask
from simcrop.adapters.system.files import whole_file, writing
from simcrop.core.errors import ConfigError

Point = tuple[float, float, float]
Colour = tuple[float, float, float]
"""Red, green, blue, from 0 to 1."""


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
class Classes:
    """Classes of the voxels of a scan: tints, each of which can be hidden by its entry, and outlines of the truth.

    Attributes:
        predicted: [X, Y, Z] class of each voxel, 0 for the background; on the grid of the scan.
        truth: the same as it truly is; None draws no outlines.
        colours: of the classes from 1.
    """

    predicted: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    colours: Sequence[Colour]


@dataclass(frozen=True, eq=False)
class ShownScan(Image):
    """A scan of a page.

    Attributes:
        voxels: HU.
        head: above its entries, where it is not empty.
        classes: of its voxels.
        panel: PNG for printing, and for where there is no WebGL2, beside those of its entries.
    """

    head: str = ""
    classes: Classes | None = None
    panel: bytes | None = None


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
        scan: number of the scan that it lies on; those of one scan stand together.
        of_class: number of the class of that scan which it is about.
        panel: PNG for printing, and for where there is no WebGL2.
    """

    title: str
    notes: Sequence[str] = ()
    score: float | None = None
    best_mm: Point | None = None
    map: Image | None = None
    outlines: Sequence[Mask] = ()
    scan: int = 0
    of_class: int | None = None
    panel: bytes | None = None


@dataclass(frozen=True, eq=False)
class ScanPage:
    """All that one page shows.

    Attributes:
        title: of the page.
        scans: at least one.
        shown: the list, at least one.
        measure: name of the scores, such as cosine.
        entries: name of what is listed, such as sentences.
        outlines: masks on the first scan that every entry shows.
        facts: term -> text: model, data, command, versions.
        cautions: sentences that a reader must know; always in sight.
        decimals: of the scores.
        map_measure: name of the values of maps; None where they are those of the scores.
    """

    title: str
    scans: Sequence[ShownScan]
    shown: Sequence[Shown]
    measure: str
    entries: str
    outlines: Sequence[Mask] = ()
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    cautions: Sequence[str] = ()
    decimals: int = 3
    map_measure: str | None = None


def write_scan_page(path: Path, page: ScanPage) -> None:
    """Write a page as one HTML file that needs nothing else; the same page gives the same bytes.

    Raises:
        ConfigError: the viewer has not been brought (`niivue`), or the disk refuses.
    """
    panels = [panel for number in range(len(page.scans)) for panel in _panels(page, number)]
    text = html_page(page.title, _data(page), panels, facts=page.facts, cautions=page.cautions)
    with writing(path, ConfigError, "free disk space, or name another file with --out"), whole_file(path) as file:
        file.write(text.encode())


def _panels(page: ScanPage, number: int) -> Iterator[Panel]:
    """The picture of a scan, with what its entries say, and those of its entries."""
    scan, entries = page.scans[number], [item for item in page.shown if item.scan == number]
    if scan.panel is not None:
        yield Panel(scan.head or page.title, [_line(page, item) for item in entries], scan.panel)
    for item in entries:
        if item.panel is not None:
            yield Panel(item.title, item.notes, item.panel)


def _line(page: ScanPage, item: Shown) -> str:
    score = [] if item.score is None else [f"{page.measure} {item.score:.{page.decimals}f}"]
    return ": ".join([item.title, *filter(None, ["; ".join([*score, *item.notes])])])


def _data(page: ScanPage) -> dict[str, Any]:
    """What the script of the page reads."""
    return {
        "measure": page.measure,
        "map_measure": page.measure if page.map_measure is None else page.map_measure,
        "decimals": page.decimals,
        "entries": page.entries,
        "scans": [_scan(scan) for scan in page.scans],
        "outlines": [_outline(mask) for mask in page.outlines],
        "shown": [_shown(item) for item in page.shown],
    }


def _scan(scan: ShownScan) -> dict[str, Any]:
    coded, classes = coded_hu(scan.voxels, scan.affine) | {"head": scan.head}, scan.classes
    if classes is None:
        return coded | {"classes": None}
    truth = None if classes.truth is None else coded_classes(classes.truth, scan.affine)
    colours = [[round(255 * part) for part in colour] for colour in classes.colours]
    return coded | {"classes": {**coded_classes(classes.predicted, scan.affine), "truth": truth, "colours": colours}}


def _shown(item: Shown) -> dict[str, Any]:
    return {
        "title": item.title,
        "notes": list(item.notes),
        "score": item.score,
        "best_mm": item.best_mm,
        "map": None if item.map is None else coded_map(item.map.voxels, item.map.affine),
        "outlines": [_outline(mask) for mask in item.outlines],
        "scan": item.scan,
        "of_class": item.of_class,
    }


def _outline(mask: Mask) -> dict[str, Any]:
    return {"name": mask.name, **coded_mask(mask.image.voxels, mask.image.affine)}
