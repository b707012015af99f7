"""The page of `simcrop locate`: a scan, where a model looks for sentences in it, and where they truly point."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from simcrop.adapters.evaluation.language.heat_map import HeatMap, PatchMap
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.formats.ground_truth import read_ground_truth, read_mask
from simcrop.adapters.formats.opening import read_volume, without_suffix
from simcrop.adapters.formats.scan import Scan
from simcrop.adapters.loading.resample import resample_mask
from simcrop.adapters.pages.scan_page import Image, Mask, ScanPage, Shown, ShownScan
from simcrop.adapters.pages.words import distance_mm, place_in_mm, place_in_words
from simcrop.compose.looking import SentenceMap
from simcrop.compose.models import checkpoint_identity, trained_on
from simcrop.compose.pages import MAP_SAMPLES, PANEL_DPI, cautions, image_of, shown_box, versions_text
from simcrop.core.data.study import Volume
from simcrop.core.errors import DataError
from simcrop.core.recipe import ModelRecipe
from simcrop.core.reports.text import sentence_key


@dataclass(frozen=True)
class PageOptions:
    """What a page of `locate` shows beside the maps.

    Attributes:
        masks: true places: a mask in a file, or a folder of docs/ground_truth.md, whose masks go with its sentences.
        full_resolution: the whole scan on its own voxels, instead of the box that the model sees.
    """

    masks: Sequence[Path] = ()
    full_resolution: bool = False


class LocatedPage:
    """Gathers the entries of a page, so that no map has to be kept on the voxels of the scan.

    Args:
        scan: what is looked at.
        recipe: of the model.
        options: what else is shown.

    Raises:
        DataError: a mask cannot be read, or lies elsewhere than the scan.
    """

    def __init__(self, scan: Scan, recipe: ModelRecipe, options: PageOptions) -> None:
        self._scan, self._options = scan, options
        self._image = _shown_scan(scan, recipe, full_resolution=options.full_resolution)
        self._entries: list[Shown] = []
        self._outlines: list[Mask] = []
        self._of_sentence: dict[int, Mask] = {}
        for path in options.masks:
            if path.is_dir() and (path / "sentences.json").is_file():
                self._read_folder(path)
            else:
                self._outlines.append(self._mask(without_suffix(path.name), path, read_volume(path)))

    def add(self, seen: SentenceMap, found: PatchMap) -> None:
        """Add a sentence.

        Args:
            seen: its map on the scan.
            found: the same on the model's patches.
        """
        sentence, heat = seen.sentence, seen.heat
        values, affine = found.sampled(MAP_SAMPLES)
        values[~_on_grid(values.shape, affine, self._scan)] = np.nan
        truth = self._of_sentence.get(sentence_key(sentence))
        place = place_in_words(heat.best_mm, self._scan.shape, self._scan.affine)
        notes = [place, place_in_mm(heat.best_mm), *([] if seen.standing is None else [seen.standing.text])]
        for mask in self._outlines if truth is None else (truth,):
            notes.append(_fit(heat, mask))
        entry = Shown(
            title=sentence,
            notes=notes,
            score=_score(heat, values, affine),
            best_mm=heat.best_mm,
            map=Image(values, affine),
            outlines=() if truth is None else (truth,),
            panel=small_png(seen.figure(), dpi=PANEL_DPI),
        )
        self._entries.append(entry)

    def finished(self, facts: Mapping[str, str], worth: str) -> ScanPage:
        """The page of all entries.

        Args:
            facts: term -> text, of the model.
            worth: a line about what maps are worth.
        """
        spacing = " x ".join(f"{mm:.3g}" for mm in np.linalg.norm(self._image.affine[:3, :3], axis=0))
        own = " x ".join(map(str, self._scan.shape))
        how = "its own voxels" if self._options.full_resolution else "the box that the model sees"
        shown = f"{how}, {spacing} mm a voxel, in 256 steps of HU"
        masks = {"True masks": ", ".join(map(str, self._options.masks))} if self._options.masks else {}
        return ScanPage(
            title=self._scan.path.name,
            scans=[ShownScan(self._image.voxels, self._image.affine)],
            shown=self._entries,
            measure="cosine",
            entries="sentences",
            outlines=self._outlines,
            facts={"Scan": f"{self._scan.path}, {own} voxels; shown: {shown}", **facts, **masks},
            cautions=cautions(worth),
        )

    def _read_folder(self, folder: Path) -> None:
        for sentence in read_ground_truth(folder).sentences:
            if sentence.mask is not None:
                path, volume = folder / sentence.mask, read_mask(folder, sentence.mask)
                name = f"true place ({without_suffix(sentence.mask)})"
                self._of_sentence[sentence_key(sentence.text)] = self._mask(name, path, volume)

    def _mask(self, name: str, path: Path, volume: Volume) -> Mask:
        x, y, z = self._image.voxels.shape
        inside = resample_mask(volume, torch.from_numpy(self._image.affine), (x, y, z)).numpy()
        if not inside.any():
            raise DataError(f"--mask: {path} has no voxel in what the page shows; name a mask of the same scan")
        return Mask(name, Image(inside, self._image.affine))


def about_model(checkpoint: str, recipe: ModelRecipe, findings: Path | None, command: str) -> dict[str, str]:
    """Facts of the model behind a page, and of what made it.

    Args:
        checkpoint: as it was named.
        recipe: of the model.
        findings: that sentences were read among; None for the built-in ones.
        command: that makes the same page.
    """
    identity = checkpoint_identity(checkpoint)
    extent = " x ".join(f"{n * mm:g}" for n, mm in zip(recipe.volume_size, recipe.spacing_mm, strict=True))
    patch = " x ".join(f"{n * mm:g}" for n, mm in zip(recipe.matched_patch_size, recipe.spacing_mm, strict=True))
    step = "" if identity["step"] is None else f", step {identity['step']}"
    fingerprint = identity["data_fingerprint"]
    data = "" if fingerprint is None else f" (data {fingerprint[:16]})"
    return {
        "Model": f"{checkpoint}{step}",
        "Weights, sha256": identity["sha256"],
        "Training": f"{trained_on(checkpoint)}{data}",
        "What it sees": f"{extent} mm around the centre of the scan, in patches of {patch} mm",
        "Sentences read among": "built-in findings that deny everything" if findings is None else str(findings),
        "Command": command,
        "Versions": versions_text(),
    }


def _shown_scan(scan: Scan, recipe: ModelRecipe, *, full_resolution: bool) -> Image:
    return image_of(scan.volume if full_resolution else shown_box(scan.volume, recipe))


def _on_grid(shape: tuple[int, ...], affine: NDArray[np.float64], scan: Scan) -> NDArray[np.bool_]:
    """Which voxels of a grid lie in the scan."""
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    to_scan = np.linalg.inv(scan.affine) @ affine
    there = index @ to_scan[:3, :3].T + to_scan[:3, 3]
    outside = (there < -0.5) | (there > np.asarray(scan.shape) - 0.5)
    return ~np.any(outside, axis=-1)


def _score(heat: HeatMap, values: NDArray[np.float32], affine: NDArray[np.float64]) -> float:
    """The sample nearest to the best place, which is also what the page says of it; beyond the samples, the map's."""
    index = np.rint((np.linalg.inv(affine) @ (*heat.best_mm, 1))[:3]).astype(int).clip(0, np.asarray(values.shape) - 1)
    nearest = float(values[tuple(index)])
    return nearest if np.isfinite(nearest) else heat.cosine


def _fit(heat: HeatMap, mask: Mask) -> str:
    distance = distance_mm(heat.best_mm, mask.image.voxels, mask.image.affine)
    return f"inside {mask.name}" if distance == 0 else f"{distance:.0f} mm from {mask.name}"
