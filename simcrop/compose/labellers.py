"""Classifiers that are kept: fine-tuned ones and linear probes, loaded to label scans."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.evaluation.classification.files import FineTuned, HeadLabels, fine_tuned
from simcrop.adapters.evaluation.classification.kept_probe import KeptProbe, find_probe, load_probe
from simcrop.adapters.system.files import sha256_of
from simcrop.compose.applying import about_model
from simcrop.compose.models import checkpoint_identity, is_of_phantoms, load_aligned, load_encoder
from simcrop.compose.view import View
from simcrop.core.errors import CheckpointError
from simcrop.core.evaluation.classifier import Classifier, probabilities
from simcrop.core.evaluation.readouts import model_rows, read_out, token_rows
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.recipe import TrainRecipe
from simcrop.core.training.learner import numerics

Scorer = Callable[[Tensor], Float[Tensor, "B F"]]
"""Numbers of volumes [B, 1, H, W, D] in HU, on the CPU."""


@dataclass(frozen=True, eq=False)
class Labeller:
    """A classifier, ready to label volumes: a fine-tuned one, or a linear probe.

    Attributes:
        labels: that it tells.
        scores: their probabilities.
        view: what it sees of a scan.
        about: what its numbers are told apart by.
        of_phantoms: whether its model has learned from phantoms alone.
    """

    labels: HeadLabels
    scores: Scorer
    view: View
    about: Mapping[str, Any]
    of_phantoms: bool


def is_classifier(path: str | Path, revision: str | None = None) -> bool:
    """Whether a path means what `simcrop eval finetune` or `probe` left."""
    return find_probe(Path(path)) is not None or fine_tuned(local_copy(path, revision)) is not None


def load_labeller(path: str | Path, device: torch.device, revision: str | None = None) -> Labeller:
    """A classifier that `simcrop eval finetune` or `probe` left.

    Args:
        path: the folder of the evaluation; or a hub id of a fine-tuned one.
        device: where to put it.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: absent, damaged, or neither; or the model whose features a probe reads is not there any more.
    """
    folder = find_probe(Path(path))
    if folder is not None:
        return _probe_labeller(folder, device)
    known = fine_tuned(local_copy(path, revision))
    if known is None:
        raise CheckpointError(f"{path}: is no classifier; name what simcrop eval finetune or eval probe wrote")
    encoder = load_encoder(path, device, revision=revision)
    scores, of_phantoms = _head_scorer(encoder, known), is_of_phantoms(local_copy(path, revision))
    return Labeller(known, scores, encoder.view, about_model(str(path)), of_phantoms)


def _probe_labeller(folder: Path, device: torch.device) -> Labeller:
    kept = load_probe(folder)
    base = _model_of_probe(folder, kept)
    if kept.centres is None:
        encoder, centres, model = load_encoder(base, device), None, None
    else:
        model, centres = load_aligned(base, device)[0], kept.centres.to(device)
        encoder = model.encoder

    @torch.no_grad()
    def scores(volumes: Tensor) -> Tensor:
        volumes = volumes.to(device)
        with numerics(device, TrainRecipe()):
            if model is not None and centres is not None:
                rows = model_rows(model, volumes, centres)
            else:
                rows = token_rows(encoder, volumes)
        logits = kept.probe.logits(read_out(rows, kept.read_out, encoder.recipe))
        return probabilities(logits, exclusive=kept.exclusive).nan_to_num(0.5).float()

    about = {**about_model(base), "probe_sha256": sha256_of(folder / "probe.safetensors")}
    return Labeller(kept, scores, View.of(base, encoder.recipe), about, is_of_phantoms(base))


def _model_of_probe(folder: Path, kept: KeptProbe) -> str:
    """The model whose features a probe reads: as it was named, or where it lies beside the probe's folder."""
    wanted = kept.model["sha256"]
    for path in (kept.model["path"], str(folder.parent / kept.model["beside"])):
        try:
            if checkpoint_identity(path)["sha256"] == wanted:
                return path
        except CheckpointError:
            continue
    raise CheckpointError(
        f"{folder}: reads features of {kept.model['path']} with weights of sha256 {wanted}, which are not there any "
        "more; put them back, or fit the probe again"
    )


def _head_scorer(encoder: VisionEncoder, known: FineTuned) -> Scorer:
    """Probabilities of volumes [B, 1, H, W, D] by the head of a fine-tuned classifier, whose encoder this is."""
    device = encoder.cls_token.device
    classifier = Classifier(encoder, len(known.names), frozen=True)
    known.load_into(classifier)
    classifier.to(device).eval()

    @torch.no_grad()
    def scores(volumes: Tensor) -> Tensor:
        with numerics(device, TrainRecipe()):
            logits = classifier(volumes.to(device))
        return probabilities(logits, exclusive=known.exclusive).float().cpu()

    return scores
