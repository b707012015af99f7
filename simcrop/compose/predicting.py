"""`simcrop predict`: findings in scans of one's own, by a fine-tuned classifier or by sentences alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.checkpoints.hub import local_copy
from simcrop.adapters.config.prompts import prompts_of, read_prompts
from simcrop.adapters.evaluation.classification.files import FineTuned, HeadLabels, fine_tuned
from simcrop.adapters.evaluation.segmentation.files import find_segmenter
from simcrop.adapters.formats.feature_tables import TableFormat
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.applying import Applied, Computed, ScanOptions, Work, about_model, apply_to_scans
from simcrop.compose.models import load_aligned, load_encoder
from simcrop.compose.segmenters import segment_scans
from simcrop.compose.view import View
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.classifier import Classifier, probabilities
from simcrop.core.evaluation.prompt_features import read_texts
from simcrop.core.evaluation.sentences import sentence_scores
from simcrop.core.evaluation.thresholds import decisions
from simcrop.core.evaluation.zeroshot import finding_scores
from simcrop.core.model.encoder import VisionEncoder
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import ModelRecipe, TrainRecipe
from simcrop.core.reports.prompts import WORDS, PromptTexts, templates
from simcrop.core.reports.reader import ReportReader
from simcrop.core.training.learner import numerics

Scorer = Callable[[Tensor], Float[Tensor, "B F"]]
"""Numbers of volumes [B, 1, H, W, D] in HU, on the CPU."""


@dataclass(frozen=True)
class PredictOptions:
    """Options of `predict`.

    Attributes:
        prompts: file with sentences of each finding, as `zeroshot.prompts` has them; None takes the classifier, or
            the built-in sentences of CT-RATE's findings.
        form: csv or parquet.
        scans: how they are taken.
    """

    prompts: Path | None = None
    form: TableFormat = "csv"
    scans: ScanOptions = field(default_factory=ScanOptions)


@dataclass(frozen=True, eq=False)
class _Predictor:
    """What predicts.

    Attributes:
        names: of the columns.
        about: what their numbers are.
        recipe: of the model.
        compute: the numbers of volumes.
    """

    names: Sequence[str]
    about: Mapping[str, Any]
    recipe: ModelRecipe
    compute: Callable[[Tensor], Computed]


def predict(
    inputs: Sequence[Path],
    checkpoint: str,
    out: Path,
    options: PredictOptions | None = None,
    *,
    should_stop: Callable[[], bool] = lambda: False,
) -> Applied:
    """Write a number for every finding of every scan: probabilities, or (by sentences) a score from -2 to 2.

    A segmenter writes maps of organs and their volumes; see `segment_scans`.

    Args:
        inputs: see `OwnScans`.
        checkpoint: a fine-tuned classifier or segmenter, or a model that was trained with alignment.
        out: folder of the result; see `row_folder`.
        options: how.
        should_stop: asked after every batch.

    Raises:
        CheckpointError: no such model, or one that is neither.
        ConfigError, DataError, Stopped: as `apply_to_scans` does; or the prompts are wrong.
    """
    options = options or PredictOptions()
    network = find_segmenter(Path(checkpoint)) if options.prompts is None else None
    if network is not None:
        one = replace(options.scans, batch_size=1)
        return segment_scans(inputs, network, out, options.form, one, should_stop)
    known = fine_tuned(local_copy(checkpoint, None)) if options.prompts is None else None
    predictor = _by_sentences(checkpoint, options) if known is None else _by_head(checkpoint, known, options)
    about = {**about_model(checkpoint), **predictor.about}
    folder = RowFolder(out, "predictions", about, columns=predictor.names, form=options.form, shard=options.scans.shard)
    work = Work.on_centres(View.of(checkpoint, predictor.recipe), predictor.compute)
    return apply_to_scans(inputs, work, folder, options.scans, should_stop)


def _by_head(checkpoint: str, known: FineTuned, options: PredictOptions) -> _Predictor:
    """The probabilities that a classifier's head gives."""
    encoder = load_encoder(checkpoint, choose_device(options.scans.device))
    return _with_decisions(known, head_scorer(encoder, known), encoder.recipe)


def _with_decisions(labels: HeadLabels, scores: Scorer, recipe: ModelRecipe) -> _Predictor:
    """Probabilities and, where thresholds were chosen, what they amount to."""
    thresholds = torch.tensor(labels.thresholds, dtype=torch.float64)

    def compute(volumes: Tensor) -> Computed:
        found = scores(volumes)
        if labels.thresholds:
            found = torch.cat([found, decisions(found.double(), thresholds)], dim=1)
        return found.float().numpy(), None

    if labels.exclusive:
        return _Predictor(labels.names, {"numbers": "probabilities of exclusive classes"}, recipe, compute)
    about: dict[str, Any] = {"numbers": "probabilities of findings, each by itself"}
    if not labels.thresholds:
        return _Predictor(labels.names, about, recipe, compute)
    known = zip(labels.names, labels.thresholds, strict=True)
    about["decisions"] = "1 at the threshold and above, where sensitivity plus specificity of selection patients peaks"
    about["thresholds"] = {name: None if math.isnan(value) else value for name, value in known}
    return _Predictor([*labels.names, *(f"{name}: present" for name in labels.names)], about, recipe, compute)


def head_scorer(encoder: VisionEncoder, known: FineTuned) -> Scorer:
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


def _by_sentences(checkpoint: str, options: PredictOptions) -> _Predictor:
    """How much better sentences that assert a finding are met than those that deny it."""
    model, tokenizer = load_aligned(checkpoint, choose_device(options.scans.device))
    texts = prompt_texts(options.prompts)
    scores = sentence_scorer(model, ReportReader(tokenizer, model.text_recipe.max_tokens), [*texts.values()])

    def compute(volumes: Tensor) -> Computed:
        return scores(volumes).numpy(), None

    about = {
        "numbers": "score of sentences that assert a finding, less that of sentences that deny it: no probability",
        "prompts": {name: {"present": list(each.present), "absent": list(each.absent)} for name, each in texts.items()},
    }
    return _Predictor([*texts], about, model.recipe, compute)


def sentence_scorer(model: SimCroP, reports: ReportReader, texts: Sequence[PromptTexts]) -> Scorer:
    """Scores of volumes [B, 1, H, W, D] by sentences: those that assert a finding, less those that deny it; -2 to 2."""
    device = model.encoder.cls_token.device
    prompts = [read_texts(model, reports, each).features for each in texts]
    score = partial(sentence_scores, model)

    @torch.no_grad()
    def scores(volumes: Tensor) -> Tensor:
        with numerics(device, TrainRecipe()):
            patches = model.patch_features(volumes.to(device)).float()
        present, absent = finding_scores(prompts, patches, score).double().unbind(2)
        return (present - absent).float().cpu()

    return scores


def prompt_texts(given: Path | Mapping[str, Any] | None) -> dict[str, PromptTexts]:
    """The sentences of a file, or of what one holds, by finding; None takes those built in for CT-RATE's findings.

    Raises:
        ConfigError: it gives words to look for in reports, which are not there.
    """
    if given is None:
        return {name: templates(name) for name in WORDS}
    where = f"--prompts {given}" if isinstance(given, Path) else "prompts"
    read = read_prompts(given, None, "--prompts") if isinstance(given, Path) else prompts_of(given, where)
    texts: dict[str, PromptTexts] = {}
    for name, prompt in read.items():
        if not isinstance(prompt, PromptTexts):
            raise ConfigError(f"{where}: {name} has terms, and there are no reports; write present and absent")
        texts[name] = prompt
    return texts
