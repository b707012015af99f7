"""Pages of scans in a browser: where the crosshair is, and what the canvas shows; and pages of known content."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from scipy.spatial.transform import Rotation

from simcrop.adapters.pages.scan_page import Classes, Image, Mask, ScanPage, Shown, ShownScan, write_scan_page
from support.browser import Tab

READY = "document.documentElement.dataset.readyMs"
"""What a page says once it shows its scan."""
LEFT, RIGHT = (slice(12, 28), slice(20, 45), slice(12, 38)), (slice(52, 68), slice(20, 45), slice(12, 38))
"""Boxes of the classes 1 and 2 in `classes_page`, to the patient's left and right."""
SPACING = (3.0, 3.0, 4.0)
BLOCK = (slice(48, 60), slice(30, 38), slice(22, 30))
"""To the patient's right, in `block_page`."""
COLOURS = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def place(tab: Tab) -> NDArray[np.float64]:
    """The crosshair, as the page tells it, mm."""
    tab.settle()
    return np.array(re.findall(r"-?[\d.]+", tab.evaluate("document.querySelector('#place').textContent")), float)


def canvas(tab: Tab) -> NDArray[Any]:
    """The picture of the scan, without what is around it."""
    x, y, width, height = tab.evaluate(
        "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('#view').getBoundingClientRect())"
    )
    return tab.picture()[int(y) : int(y + height), int(x) : int(x + width)].astype(int)


def data_of(page: Path) -> Any:
    """What the script of a page reads."""
    found = re.search(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def block_page(path: Path, change: Callable[[NDArray[Any]], NDArray[Any]] = lambda voxels: voxels) -> None:
    """Write a page of two scans with a known block, its map and its outline.

    Args:
        path: of the page.
        change: of the voxels of the first scan.
    """
    hu = np.full((80, 70, 50), -900, np.int16)
    hu[10:70, 10:60, 5:45] = 40
    hu[14:34, 15:50, 8:40] = -800  # air on one side alone
    hu[BLOCK] = 900
    affine = np.diag([*SPACING, 1.0])
    affine[:3, 3] = (-120, 55, -300)
    near = np.stack(np.meshgrid(*map(np.arange, hu.shape), indexing="ij"), -1) - [53.5, 33.5, 25.5]
    heat = Image(-np.linalg.norm(near, axis=-1), affine)
    best = (-120 + 53.5 * 3.0, 55 + 33.5 * 3.0, -300 + 25.5 * 4.0)
    mask = np.zeros(hu.shape, bool)
    mask[BLOCK] = True
    first = Shown("block", score=0.5, best_mm=best, map=heat, outlines=[Mask("block", Image(mask, affine))])
    askew = affine.copy()
    askew[:3, :3] = Rotation.from_euler("xyz", [7, -11, 13], degrees=True).as_matrix() @ affine[:3, :3]
    other = Shown("other scan", best_mm=(-15, 160, -190), map=Image(heat.voxels, affine), scan=1)
    entries = [first, Shown("without a map", scan=1), other]
    scans = [ShownScan(change(hu), affine), ShownScan(hu[:70], askew)]
    write_scan_page(path, ScanPage("drawn", scans, entries, "score", "entries", cautions=["a caution"]))


def small_picture(tab: Tab, page: Path) -> NDArray[np.float64]:
    """The canvas of a page in all views, the map over a fifth of the scan, as [24, 32] greys from 0 to 255."""
    tab.open(page, width=1200, height=800)
    tab.wait_for(READY)
    tab.press("2")
    tab.set_slider("#threshold", 80)
    tab.set_slider("#opacity", 80)
    return shrunk(canvas(tab))


def shrunk(picture: NDArray[Any]) -> NDArray[np.float64]:
    """A picture as [24, 32] greys: so coarse that no line and no letter of it counts."""
    grey = Picture.fromarray(picture.astype(np.uint8)).convert("L")
    return np.asarray(grey.resize((32, 24), Picture.Resampling.BOX), np.float64)


def classes_page(path: Path, affine: NDArray[np.float64]) -> None:
    """Write a page of two scans, whose two classes are boxes; the second truth is smaller; one scan has no truth."""
    hu = np.full((80, 70, 50), -900, np.int16)
    hu[5:75, 10:60, 5:45] = 40
    classes = np.zeros(hu.shape, np.uint8)
    classes[LEFT], classes[RIGHT] = 1, 2
    truth = classes.copy()
    truth[60:68] = 0
    scans = [
        ShownScan(hu, affine, f"scan {number}", Classes(classes, each, COLOURS))
        for number, each in enumerate((truth, None))
    ]
    shown: list[Shown] = []
    for number in range(2):
        for one, (name, box) in enumerate({"left box": LEFT, "right box": RIGHT}.items(), 1):
            x, y, z = (float(mm) for mm in affine[:3, :3] @ _middle(box) + affine[:3, 3])
            entry = Shown(name, [f"{one} ml", "a second note"], one / 4, (x, y, z), scan=number, of_class=one)
            shown.append(entry)
    write_scan_page(path, ScanPage("classes", scans, shown, "Dice", "classes", cautions=["a caution"]))


def _middle(box: tuple[slice, ...]) -> NDArray[np.float64]:
    return np.array([(part.start + part.stop - 1) / 2 for part in box])
