"""The pictures of a run: the same held-out study every time, so that they show how the model changes."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from simcrop.adapters.evaluation.language.drawn_maps import SENTENCES, panel_figure
from simcrop.adapters.evaluation.output import save_figure
from simcrop.adapters.figures.losses import curves_figure
from simcrop.adapters.figures.reconstruction import reconstruction_figure
from simcrop.adapters.system.forcing import force
from simcrop.core.data.held_out import HeldOutStudies, Place, asserts_finding
from simcrop.core.data.study import Study
from simcrop.core.evaluation.sentence_maps import PlacedSentence, maps_of
from simcrop.core.evaluation.sentences import read_findings
from simcrop.core.model.masking import draw_patch_mask
from simcrop.core.model.patches import apply_window, patchify, unpatchify
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.randomness import generator
from simcrop.core.recipe import ModelRecipe

_CANDIDATES = 50


class RunPictures:
    """A PictureSink: reconstruction, similarity maps and loss curves as PNG files.

    Args:
        run_folder: holds `metrics.jsonl`; pictures go to its folder `pictures`.
        held_out: where the study comes from; without any only curves are drawn.
        on_figure: also told (name, step, figure, its PNG file), e.g. to put it into TensorBoard.
    """

    def __init__(
        self,
        run_folder: Path,
        held_out: HeldOutStudies,
        *,
        on_figure: Callable[[str, int, Figure, Path], None] | None = None,
    ) -> None:
        self._metrics = run_folder / "metrics.jsonl"
        self._folder = run_folder / "pictures"
        self._held_out, self._on_figure = held_out, on_figure
        self._study = choose_study(held_out)
        self._places: list[Place] | None = None

    def draw(self, step: int, model: nn.Module) -> None:
        """Draw what the model does at a step; files are `step_00000300_reconstruction.png` and so on."""
        network = cast(SimCroP, model)
        figures: dict[str, Figure] = {}
        if self._study is not None:
            title = f"step {step}, held-out study {self._study.study_id}"
            volume = self._held_out.volume(self._study)[None].to(network.encoder.cls_token.device)
            if network.decoder is not None:
                figures["reconstruction"] = draw_reconstruction(network, volume, self._study.study_id, title=title)
            places = self._shown_places(self._study)
            if network.matches_sentences and places:
                figures["similarity"] = draw_similarity(
                    network, self._held_out, self._study, places, volume, title=title
                )
        rows = [json.loads(line) for line in self._metrics.read_text().splitlines()] if self._metrics.exists() else []
        if rows:
            figures["curves"] = curves_figure(rows, title=f"losses up to step {step}")
        if not self._folder.is_dir():
            self._folder.mkdir()  # not those above it: whoever removed the run folder does not want a new one
            force(self._folder.parent)
        for name, figure in figures.items():
            path = self._folder / f"step_{step:08d}_{name}.png"
            save_figure(path, figure)
            if self._on_figure is not None:
                self._on_figure(name, step, figure, path)

    def _shown_places(self, study: Study) -> list[Place]:
        if self._places is None:
            places = self._held_out.places(study, lambda truth: True)
            # Sentences that assert a finding first; normal structures fill up.
            order = sorted(places, key=lambda place: not (place.present and place.finding is not None))
            self._places = [place for place in order if place.mask.any()][:SENTENCES]
        return self._places


def choose_study(held_out: HeldOutStudies) -> Study | None:
    """Of the first held-out studies the one with the most findings at a known place (up to `SENTENCES`)."""

    def shown(study: Study) -> int:
        return min(SENTENCES, sum(asserts_finding(truth) for truth in held_out.truths(study)))

    return max(held_out.studies[:_CANDIDATES], key=shown, default=None)


@torch.no_grad()
def draw_reconstruction(model: SimCroP, volume: Tensor, name: str, *, title: str) -> Figure:
    """Mask one volume as in training, always in the same way for a name, and draw what the decoder makes of it.

    Args:
        model: with a decoder.
        volume: [1, C, H, W, D] in HU on the model's device; the first channel is drawn.
        name: the mask is drawn from it.
        title: above the picture.
    """
    recipe = model.recipe
    keep, hidden = draw_patch_mask(recipe.num_patches, recipe.num_visible, generator("picture", name))
    keep, hidden = keep[None].to(volume.device), hidden[None].to(volume.device)
    truth = patchify(apply_window(volume, recipe.window), recipe.patch_size)
    predicted = model.reconstruct(volume, keep, hidden).float()
    if model.objectives.reconstruction.target == "patch_norm":
        # The decoder tells the pattern of a patch only; its brightness and contrast are taken from the truth.
        patches = truth[0, hidden[0]]
        variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
        predicted = predicted * (variance + 1e-6).sqrt() + mean
    rebuilt, seen = truth.clone(), truth.clone()
    rebuilt[0, hidden[0]] = predicted[0]
    seen[0, hidden[0]] = torch.nan
    original, masked, result = (_to_hu(patches, recipe) for patches in (truth, seen, rebuilt))
    return reconstruction_figure(original, masked, result, recipe.spacing_mm, title=title)


def _to_hu(patches: Tensor, recipe: ModelRecipe) -> np.ndarray:
    low, high = recipe.window
    windowed = unpatchify(patches, recipe.patch_size, recipe.volume_size)[0, 0]
    return ((windowed.clamp(-1, 1) + 1) / 2 * (high - low) + low).cpu().numpy()


@torch.no_grad()
def draw_similarity(
    model: SimCroP, held_out: HeldOutStudies, study: Study, places: Sequence[Place], volume: Tensor, *, title: str
) -> Figure:
    """Draw where the model looks for sentences of a study, beside where they point.

    Args:
        model: trained with alignment.
        held_out: gives the tokens of the findings.
        study: whose findings hold the sentences.
        places: the sentences to draw.
        volume: [1, C, H, W, D] in HU on the model's device, of the same study.
        title: above the picture.
    """
    [read] = read_findings(model, held_out, [study])
    sentences = [PlacedSentence(study, place, read.of(place.sentence)) for place in places]
    maps = maps_of(sentences, model.patch_features(volume)[0])
    return panel_figure(volume[0, 0].float().cpu().numpy(), maps, model.recipe, title=title)
