"""The page of `simcrop eval segment`: the organs that a network finds worst, middling and best, and the true ones."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from simcrop.adapters.evaluation.segmentation.files import segmenter_config
from simcrop.adapters.evaluation.segmentation.organ_maps import read_classes
from simcrop.adapters.evaluation.segmentation.pictures import Outcome
from simcrop.adapters.evaluation.segmentation.results import SegmentedStudy
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.pages.scan_page import ScanPage, Shown, ShownScan
from simcrop.compose.evaluation.segmentation_task import SegmentationTask
from simcrop.compose.pages import (
    PANEL_DPI,
    cautions,
    centre_mm,
    classes_on,
    image_of,
    shown_whole,
    versions_text,
    write_evaluation_page,
)
from simcrop.core.evaluation.metrics import mean_present

_WORTH = "tints are what the network finds, and lines the masks that it is measured by"


def write_segment_page(
    out: Path,
    task: SegmentationTask,
    outcomes: Sequence[Outcome],
    figures: Mapping[str, Figure],
    *,
    folder: Path,
    trained: Mapping[str, Any],
) -> None:
    """Write page.html into an evaluation's folder, where there is a viewer.

    Args:
        out: the folder.
        task: whose data these are.
        outcomes: the studies.
        figures: their pictures, for printing.
        folder: of the network.
        trained: what is known of its training.
    """

    def make() -> ScanPage:
        scans: list[ShownScan] = []
        shown: list[Shown] = []
        for number, outcome in enumerate(outcomes):
            scans.append(_scan(task, outcome, small_png(figures[outcome.name], dpi=PANEL_DPI)))
            shown += _entries(task, outcome.study, scans[-1], number)
        return ScanPage(
            title=f"Segmentation: {', '.join(outcome.name for outcome in outcomes)} of the held-out studies",
            scans=scans,
            shown=shown,
            measure="Dice",
            entries="classes",
            facts=_facts(task, folder, trained),
            cautions=cautions(_WORTH),
        )

    write_evaluation_page(out, make)


def _scan(task: SegmentationTask, outcome: Outcome, panel: bytes) -> ShownScan:
    maps, study = task.maps, outcome.study.study
    name = study.reconstructions[0]
    volume = shown_whole(maps.source.read_volume(name), maps.spacing_mm)
    image, (x, y, z) = image_of(volume), volume.voxels.shape
    truth = read_classes(maps.source, name, maps.classes, torch.from_numpy(image.affine), (x, y, z))
    classes = classes_on(image, outcome.predicted, outcome.organs.affine, len(maps.classes), truth)
    mean = mean_present(outcome.study.dice)
    told = "" if math.isnan(mean) else f", mean Dice {mean:.3f}"
    return ShownScan(image.voxels, image.affine, f"{outcome.name}: {study.study_id}{told}", classes, panel)


def _entries(task: SegmentationTask, study: SegmentedStudy, scan: ShownScan, number: int) -> list[Shown]:
    assert scan.classes is not None
    predicted, truth = scan.classes.predicted, scan.classes.truth
    assert truth is not None
    entries: list[Shown] = []
    for index, name in enumerate(task.maps.classes):
        dice, volumes = study.dice[index], (study.volumes_ml[index], study.true_volumes_ml[index])
        best = centre_mm(predicted == index + 1, scan.affine)
        entry = Shown(
            title=name,
            notes=[f"{volumes[0]:.0f} ml, truth {volumes[1]:.0f} ml", *_more(study, index)],
            score=None if math.isnan(dice) else dice,
            best_mm=centre_mm(truth == index + 1, scan.affine) if best is None else best,
            scan=number,
            of_class=index + 1,
        )
        entries.append(entry)
    return entries


def _more(study: SegmentedStudy, index: int) -> list[str]:
    told = {"Dice on its own voxels {:.3f}": study.own_dice[index], "HD95 {:.1f} mm": study.distances_mm[index]}
    return [text.format(value) for text, value in told.items() if not math.isnan(value)]


def _facts(task: SegmentationTask, folder: Path, trained: Mapping[str, Any]) -> dict[str, str]:
    start, source = trained["start"]["path"], task.config.data.source
    spacing = " x ".join(f"{mm:g}" for mm in task.maps.spacing_mm)
    return {
        "Network": str(folder),
        "Weights, sha256": segmenter_config(folder)["sha256"],
        "Encoder": "from scratch" if start is None else str(start),
        "Training": f"{trained['percent']:g} % of labels, {trained['num_learned']} studies",
        "What it sees": f"voxels of {spacing} mm",
        "Data": f"{source}, {len(task.data.held_out)} held-out studies with masks",
        "Command": "simcrop eval segment",
        "Versions": versions_text(),
    }
