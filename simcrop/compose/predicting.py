"""`simcrop predict`: findings in scans of one's own, by a fine-tuned classifier or by sentences alone."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from simcrop.adapters.applying.row_folder import RowFolder
from simcrop.adapters.config.prompts import prompts_of, read_prompts
from simcrop.adapters.evaluation.segmentation.files import find_segmenter
from simcrop.adapters.formats.feature_tables import TableFormat
from simcrop.adapters.loading.own_volumes import SeenScan
from simcrop.adapters.pages.html import require_viewer
from simcrop.adapters.pages.scan_page import Shown
from simcrop.adapters.system.ranks import choose_device
from simcrop.compose.applying import Applied, Computed, ScanOptions, Work, about_model, apply_to_scans, owned_part
from simcrop.compose.labellers import Labeller, Scorer, is_classifier, load_labeller
from simcrop.compose.looking import maps_in
from simcrop.compose.models import is_of_phantoms, load_aligned
from simcrop.compose.predicted_page import (
    PredictedPages,
    about_prediction,
    finding_entries,
    sentence_entries,
    worth_of,
)
from simcrop.compose.segmenters import segment_scans
from simcrop.compose.view import View
from simcrop.core.data.study import Volume
from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.prompt_features import read_texts
from simcrop.core.evaluation.sentences import sentence_scores
from simcrop.core.evaluation.thresholds import decisions
from simcrop.core.evaluation.zeroshot import finding_scores
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.recipe import TrainRecipe
from simcrop.core.reports.prompts import WORDS, PromptTexts, templates
from simcrop.core.reports.reader import ReportReader
from simcrop.core.training.learner import numerics

_PROBABILITY = "a probability is what the model has learned of its own patients, and no diagnosis"
_SCORE = (
    "a score ranks scans for one finding and is no probability; it cannot be compared from finding to finding, and the "
    "map says where the sentence fits best, true or not"
)


@dataclass(frozen=True)
class PredictOptions:
    """Options of `predict`.

    Attributes:
        prompts: file with sentences of each finding, as `zeroshot.prompts` has them; None takes the classifier, or
            the built-in sentences of CT-RATE's findings.
        form: csv or parquet.
        scans: how they are taken.
        has_pages: whether each scan gets a page for a browser.
    """

    prompts: Path | None = None
    form: TableFormat = "csv"
    scans: ScanOptions = field(default_factory=ScanOptions)
    has_pages: bool = False


@dataclass(frozen=True, eq=False)
class _Predictor:
    """What predicts.

    Attributes:
        names: of the columns.
        about: what their numbers are.
        view: what the model sees of a scan.
        compute: the numbers of volumes.
        measure: what a page calls them.
        worth: what they are worth, for a page.
        of_phantoms: whether it has learned from phantoms alone.
        shown: findings of one scan, by its row, for a page.
    """

    names: Sequence[str]
    about: Mapping[str, Any]
    view: View
    compute: Callable[[Tensor], Computed]
    measure: str
    worth: str
    of_phantoms: bool
    shown: Callable[[SeenScan, NDArray[np.float32]], list[Shown]]


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
        ConfigError, DataError, Stopped: as `apply_to_scans` and `owned_part` do; or the prompts are wrong, or the
            viewer of pages has not been brought.
    """
    options = options or PredictOptions()
    if options.has_pages:
        require_viewer()
    with owned_part(out, options.scans):
        return _predict(inputs, checkpoint, out, options, should_stop)


def _predict(
    inputs: Sequence[Path], checkpoint: str, out: Path, options: PredictOptions, should_stop: Callable[[], bool]
) -> Applied:
    network = find_segmenter(Path(checkpoint)) if options.prompts is None else None
    if network is not None:
        one = replace(options.scans, batch_size=1)
        return segment_scans(inputs, network, out, options.form, one, should_stop, has_pages=options.has_pages)
    device = choose_device(options.scans.device)
    if options.prompts is None and is_classifier(checkpoint):
        predictor = _with_decisions(load_labeller(checkpoint, device))
    else:
        predictor = _by_sentences(checkpoint, options.prompts, device)
    folder = RowFolder(
        out,
        "predictions",
        predictor.about,
        columns=predictor.names,
        form=options.form,
        shard=options.scans.shard,
        has_pages=options.has_pages,
    )
    facts = about_prediction(checkpoint, predictor.about["weights_sha256"], inputs, out, options.prompts)
    worth = worth_of(predictor.worth, of_phantoms=predictor.of_phantoms)
    pages = PredictedPages(folder, "findings", predictor.measure, 3, facts, worth)

    def write_page(name: str, scan: SeenScan, row: NDArray[np.float32]) -> None:
        pages.write_findings(name, scan, predictor.shown(scan, row))

    work = Work.on_centres(predictor.view, predictor.compute, write_page if options.has_pages else None)
    return apply_to_scans(inputs, work, folder, options.scans, should_stop)


def _with_decisions(labeller: Labeller) -> _Predictor:
    """Probabilities and, where thresholds were chosen, what they amount to."""
    labels, scores = labeller.labels, labeller.scores
    thresholds = torch.tensor(labels.thresholds, dtype=torch.float64)

    def compute(volumes: Tensor) -> Computed:
        found = scores(volumes)
        if labels.thresholds:
            found = torch.cat([found, decisions(found.double(), thresholds)], dim=1)
        return found.float().numpy(), None

    kind = "probabilities of exclusive classes" if labels.exclusive else "probabilities of findings, each by itself"
    about: dict[str, Any] = {**labeller.about, "numbers": kind}
    shown = ("probability", _PROBABILITY, labeller.of_phantoms, lambda _, row: finding_entries(labels, row))
    if not labels.thresholds:
        return _Predictor(labels.names, about, labeller.view, compute, *shown)
    known = zip(labels.names, labels.thresholds, strict=True)
    about["decisions"] = "1 at the threshold and above, where sensitivity plus specificity of selection patients peaks"
    about["thresholds"] = {name: None if math.isnan(value) else value for name, value in known}
    names = [*labels.names, *(f"{name}: present" for name in labels.names)]
    return _Predictor(names, about, labeller.view, compute, *shown)


def _by_sentences(checkpoint: str, prompts: Path | None, device: torch.device) -> _Predictor:
    """How much better sentences that assert a finding are met than those that deny it."""
    model, tokenizer = load_aligned(checkpoint, device)
    texts = prompt_texts(prompts)
    reports = ReportReader.of(tokenizer, model.text_recipe)
    scores, asserting = sentence_scorer(model, reports, [*texts.values()]), _first_sentences(model, reports, texts)

    def compute(volumes: Tensor) -> Computed:
        return scores(volumes).numpy(), None

    about = {
        **about_model(checkpoint),
        "numbers": "score of sentences that assert a finding, less that of sentences that deny it: no probability",
        "prompts": {name: {"present": list(each.present), "absent": list(each.absent)} for name, each in texts.items()},
    }

    def shown(scan: SeenScan, row: NDArray[np.float32]) -> list[Shown]:
        maps = maps_in(Volume(scan.voxels, scan.affine), asserting, model)
        return sentence_entries(scan, {name: each.present[0] for name, each in texts.items()}, row, maps)

    view, of_phantoms = View.of(checkpoint, model.recipe), is_of_phantoms(checkpoint)
    return _Predictor([*texts], about, view, compute, "score", _SCORE, of_phantoms, shown)


def _first_sentences(model: SimCroP, reports: ReportReader, texts: Mapping[str, PromptTexts]) -> Float[Tensor, "F E"]:
    """Features of a sentence that asserts each finding: the first."""
    firsts = [PromptTexts(each.present[:1], each.absent) for each in texts.values()]
    return torch.cat([read_texts(model, reports, each).features.present for each in firsts])


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
    read = read_prompts(given, None, key="--prompts") if isinstance(given, Path) else prompts_of(given, where)
    texts: dict[str, PromptTexts] = {}
    for name, prompt in read.items():
        if not isinstance(prompt, PromptTexts):
            raise ConfigError(f"{where}: {name} has terms, and there are no reports; write present and absent")
        texts[name] = prompt
    return texts
