"""Pages of scans in a browser: where the crosshair is, and what the canvas shows; and such a page of known classes."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcrop.adapters.pages.scan_page import Classes, ScanPage, Shown, ShownScan, write_scan_page
from support.browser import Tab

READY = "document.documentElement.dataset.readyMs"
"""What a page says once it shows its scan."""
LEFT, RIGHT = (slice(12, 28), slice(20, 45), slice(12, 38)), (slice(52, 68), slice(20, 45), slice(12, 38))
"""Boxes of the classes 1 and 2 in `classes_page`, to the patient's left and right."""
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
