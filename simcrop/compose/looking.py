"""The map of a sentence in one scan: where a model finds it, on the scan's own voxels."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

import nibabel as nib
import numpy as np
import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.evaluation.language.heat_map import HeatMap, PatchMap
from simcrop.adapters.figures.located import Located, located_figure
from simcrop.adapters.figures.png import small_png
from simcrop.adapters.formats.scan import Scan
from simcrop.adapters.loading.resample import Grid, resample_volume
from simcrop.core.data.study import Volume
from simcrop.core.evaluation.grounding import comparable, similarity_maps
from simcrop.core.evaluation.references import ReferenceScans, Standing
from simcrop.core.evaluation.sentences import read_within
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.recipe import Size
from simcrop.core.reports.prompts import normal_findings
from simcrop.core.reports.reader import ReportReader

_DPI = 90


@dataclass(frozen=True, eq=False)
class Found:
    """What a model finds of a sentence in a scan.

    Attributes:
        map: on the model's patches.
        standing: of the map's highest value among reference scans; None where the model carries none.
    """

    map: PatchMap
    standing: Standing | None


@dataclass(frozen=True, eq=False)
class SentenceMap:
    """Where a model finds a sentence in a scan; in a notebook it shows its picture.

    Attributes:
        sentence: that was looked for.
        scan: that it was looked for in.
        heat: the map on the scan's voxels, in the order of its file, and its best place.
        facts: lines about it.
        standing: where its score stands among those of the same sentence in reference scans: `share_below` (0 to 1),
            `num_scans`, and whether they were `held_out`; None where the model carries no reference scans.
    """

    sentence: str
    scan: Scan
    heat: HeatMap
    facts: Sequence[str]
    standing: Standing | None = None

    @property
    def values(self) -> NDArray[np.float32]:
        """[X, Y, Z] cosines on the scan's voxels; outside of what the model sees, the lowest of all."""
        return self.heat.values

    @property
    def affine(self) -> NDArray[np.float64]:
        """[4, 4], maps indices of `values` to world coordinates in mm, RAS."""
        return self.scan.affine

    @property
    def cosine(self) -> float:
        """At the best place; it tells where a sentence fits best, not whether it is true."""
        return self.heat.cosine

    @property
    def best_mm(self) -> tuple[float, float, float]:
        """The best place in world coordinates, mm, RAS."""
        return self.heat.best_mm

    @property
    def best_voxel(self) -> Size:
        """The best place in `values`."""
        return self.heat.best_voxel

    def to_nibabel(self) -> nib.Nifti1Image:
        """The map as an image on the scan's voxels."""
        return nib.Nifti1Image(self.values, self.affine)

    def figure(self) -> Figure:
        """Three planes through the best place, with and without the map."""
        return located_figure(self.located())

    def located(self) -> Located:
        """What is drawn: the same on axes to the patient's right, front and head."""
        scan, heat = self.scan, self.heat
        world = np.linalg.inv(scan.volume.affine.double().numpy()) @ (*heat.best_mm, 1)
        x, y, z = (int(index) for index in np.rint(world[:3]))
        return Located(
            sentence=self.sentence,
            facts=self.facts,
            hu=scan.volume.voxels.numpy(),
            similarity=scan.as_ras(heat.values),
            inside=scan.as_ras(heat.inside.astype(np.float32)) > 0,
            best_voxel=(x, y, z),
            spacing_mm=scan.volume.spacing_mm,
        )

    def __repr__(self) -> str:
        place = ", ".join(f"{mm:.1f}" for mm in self.best_mm)
        return f"SentenceMap({self.sentence!r}, cosine {self.cosine:.3f} at ({place}) mm)"

    def _repr_html_(self) -> str:
        data = base64.b64encode(small_png(self.figure(), dpi=_DPI)).decode("ascii")
        return f'<img alt="{html.escape(repr(self))}" src="data:image/png;base64,{data}">'


@torch.no_grad()
def look_for(
    sentences: Sequence[str],
    scan: Scan,
    model: SimCroP,
    tokenizer: Tokenizer,
    company: Sequence[str] | None = None,
    references: ReferenceScans | None = None,
) -> list[Found]:
    """The map of each sentence in a scan: cosines with the patches of a model.

    Args:
        sentences: in the language of the model's reports.
        scan: of any size and spacing; the model sees a box around its centre.
        model: trained with alignment, in eval mode.
        tokenizer: the model's.
        company: sentences that each is read among; by default findings that deny everything.
        references: of the model, where it carries some.
    """
    company = normal_findings() if company is None else company
    recipe, reader = model.recipe, ReportReader.of(tokenizer, model.text_recipe)
    seen = Volume(*resample_volume(scan.volume, Grid(recipe.spacing_mm, recipe.volume_size)))
    features = torch.stack([read_within(model, reader, each, company) for each in sentences])
    found = maps_in(seen, features, model)
    return [
        Found(each, None if references is None else references.standing(sentence, float(each.patches.max())))
        for sentence, each in zip(features, found, strict=True)
    ]


@torch.no_grad()
def maps_in(seen: Volume, features: Float[Tensor, "S E"], model: SimCroP) -> list[PatchMap]:
    """The map of each sentence in what a model sees of a scan.

    Args:
        seen: HU, on the model's grid and of its size.
        features: of the sentences.
        model: trained with alignment, in eval mode.
    """
    patches = model.patch_features(seen.voxels[None, None].to(model.encoder.cls_token.device))[0]
    cosines, compared = similarity_maps(features, patches), comparable(patches)
    shape, affine = (model.recipe.matched_grid, model.recipe.matched_patch_size), seen.affine.double().numpy()
    return [PatchMap.of(each, compared, *shape, affine) for each in cosines]


def map_on_scan(sentence: str, scan: Scan, found: Found, model: SimCroP, name: str) -> SentenceMap:
    """What a model of that name finds of a sentence, on the voxels of the scan."""
    heat = found.map.onto(scan.shape, scan.affine)
    facts = about_place(scan, model, heat, name)
    if found.standing is not None:
        facts.insert(1, found.standing.text)
    return SentenceMap(sentence, scan, heat, facts, found.standing)


def about_place(scan: Scan, model: SimCroP, found: HeatMap, name: str) -> list[str]:
    """Lines that say where a map's best place is, and what a model of that name sees of the scan."""
    place = ", ".join(f"{axis} {mm:.1f}" for axis, mm in zip("xyz", found.best_mm, strict=True))
    voxel = ", ".join(map(str, found.best_voxel))
    seen = f"the model {name} sees {extent_text(model)} mm around the centre"
    if found.share_outside > 0:
        seen += f", {100 * (1 - found.share_outside):.0f} % of the scan (dashed line)"
    return [f"{scan.path.name}: cosine {found.cosine:.3f} at {place} mm (RAS), voxel {voxel}", seen]


def extent_text(model: SimCroP) -> str:
    """What a model sees along x, y, z, in mm."""
    sizes = zip(model.recipe.volume_size, model.recipe.spacing_mm, strict=True)
    return " x ".join(f"{size * spacing:g}" for size, spacing in sizes)
