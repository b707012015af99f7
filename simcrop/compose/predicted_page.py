"""The pages of `simcrop predict`: a scan beside the findings or the organs that a model sees in it."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.evaluation.classification.files import HeadLabels
from simcrop.adapters.evaluation.language.heat_map import PatchMap
from simcrop.adapters.figures.organs import overlay_figure, scan_figure
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.loading.own_volumes import SeenScan, WholeScan
from simcrop.adapters.pages.scan_page import Classes, Image, ScanPage, Shown, ShownScan, write_scan_page
from simcrop.adapters.pages.words import place_in_words
from simcrop.compose.pages import (
    MAP_SAMPLES,
    PANEL_DPI,
    cautions,
    centre_mm,
    classes_on,
    image_of,
    versions_text,
)

_PATIENTS = "the model was trained on phantoms alone and has seen no patient"


@dataclass(frozen=True, eq=False)
class PredictedPages:
    """Writes a page for each scan that a model was applied to.

    Attributes:
        folder: of the rows, and of the pages.
        entries, measure, decimals: as a page has them.
        facts: term -> text, of the model.
        worth: sentences on what the numbers are worth.
    """

    folder: RowFolder
    entries: str
    measure: str
    decimals: int
    facts: Mapping[str, str]
    worth: Sequence[str]

    def write_findings(self, name: str, scan: SeenScan, shown: Sequence[Shown]) -> None:
        """Write the page of a scan with findings.

        Args:
            name: of the scan.
            scan: with voxels for a page.
            shown: the findings.
        """
        image = _image(scan)
        figure = scan_figure(image.voxels, _spacing(image), title=Path(name).name)
        self._write(name, scan, image, None, shown, figure)

    def write_organs(
        self, name: str, scan: WholeScan, predicted: UInt8[Tensor, "H W D"], volumes_ml: Sequence[float]
    ) -> None:
        """Write the page of a scan with organs.

        Args:
            name: of the scan.
            scan: with voxels for a page.
            predicted: class of each of the voxels that the network saw.
            volumes_ml: of the classes from 1.
        """
        image, names = _image(scan), self.folder.columns
        assert names is not None
        classes = classes_on(image, predicted, scan.affine, len(names))
        shown = [
            Shown(
                title=organ,
                notes=[] if volume else ["not found"],
                score=volume,
                best_mm=centre_mm(classes.predicted == number, image.affine),
                of_class=number,
            )
            for number, (organ, volume) in enumerate(zip(names, volumes_ml, strict=True), 1)
        ]
        title = Path(name).name
        figure = overlay_figure(image.voxels, classes.predicted, None, names, _spacing(image), title=title)
        self._write(name, scan, image, classes, shown, figure)

    def _write(
        self,
        name: str,
        scan: SeenScan,
        image: Image,
        classes: Classes | None,
        shown: Sequence[Shown],
        figure: Figure,
    ) -> None:
        path = self.folder.page_file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        panel = small_png(figure, dpi=PANEL_DPI)
        spacing = " x ".join(f"{mm:.3g}" for mm in _spacing(image))
        strange = [f"the scan looks unlike those that the model knows: it {note.message}" for note in scan.notes]
        page = ScanPage(
            title=Path(name).name,
            scans=[ShownScan(image.voxels, image.affine, classes=classes, panel=panel)],
            shown=shown,
            measure=self.measure,
            entries=self.entries,
            facts={"Scan": f"{name}; shown: {spacing} mm a voxel, in 256 steps of HU", **self.facts},
            cautions=cautions(*strange, *self.worth),
            decimals=self.decimals,
            map_measure="cosine",
        )
        write_scan_page(path, page)


def about_prediction(
    checkpoint: str, sha256: str, inputs: Sequence[Path], out: Path, prompts: Path | None = None
) -> dict[str, str]:
    """Facts of what predicts, and of the command that makes the same pages."""
    given = [] if prompts is None else ["--prompts", str(prompts)]
    names = [*map(str, inputs), "--checkpoint", checkpoint, *given, "--out", str(out), "--pages"]
    return {
        "Model": checkpoint,
        "Weights, sha256": sha256,
        "Command": shlex.join(["simcrop", "predict", *names]),
        "Versions": versions_text(),
    }


def worth_of(worth: str, *, of_phantoms: bool) -> list[str]:
    """What numbers are worth, and that the model has seen no patient, where that is so."""
    return [worth, *([_PATIENTS] if of_phantoms else [])]


def finding_entries(labels: HeadLabels, row: NDArray[np.floating]) -> list[Shown]:
    """The findings of a classifier in one scan.

    Args:
        labels: what it tells.
        row: [F] their probabilities; where there are thresholds, followed by as many decisions.
    """
    count = len(labels.names)
    best = int(np.argmax(row[:count]))
    entries: list[Shown] = []
    for number, name in enumerate(labels.names):
        if labels.thresholds:
            notes = [_decision(row[count + number], labels.thresholds[number])]
        else:
            notes = ["the most probable"] if labels.exclusive and number == best else []
        entries.append(Shown(name, notes, float(row[number])))
    return entries


def _decision(decided: float, threshold: float) -> str:
    if math.isnan(decided):
        return "no decision: the selection patients do not tell it"
    return f"present, from {threshold:.3f}" if decided else f"absent, below {threshold:.3f}"


def sentence_entries(
    scan: SeenScan, sentences: Mapping[str, str], row: NDArray[np.floating], maps: Sequence[PatchMap]
) -> list[Shown]:
    """The findings of sentences in one scan, each with the map of one sentence.

    Args:
        scan: with voxels for a page.
        sentences: finding -> a sentence that asserts it.
        row: [F] their scores.
        maps: of the sentences.
    """
    image, entries = _image(scan), list[Shown]()
    for (name, sentence), score, found in zip(sentences.items(), row, maps, strict=True):
        values, affine = found.sampled(MAP_SAMPLES)
        x, y, z = image.voxels.shape
        place = place_in_words(found.best_mm, (x, y, z), image.affine)
        entries.append(Shown(name, [sentence, place], float(score), found.best_mm, Image(values, affine)))
    return entries


def _image(scan: SeenScan) -> Image:
    assert scan.shown is not None
    return image_of(scan.shown)


def _spacing(image: Image) -> tuple[float, float, float]:
    x, y, z = (float(mm) for mm in np.linalg.norm(image.affine[:3, :3], axis=0))
    return x, y, z
