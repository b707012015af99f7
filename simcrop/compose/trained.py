"""A trained model as an object that takes scans as they come: files, nibabel images, voxels with an affine."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int16
from torch import Tensor

from simcrop.adapters.checkpoints.reference_scans import find_references
from simcrop.adapters.formats.scan import ScanLike, read_scan
from simcrop.compose.labellers import Labeller, load_labeller
from simcrop.compose.locating import require_known, tidy_sentences
from simcrop.compose.looking import SentenceMap, look_for, map_on_scan
from simcrop.compose.models import restore, tokenizer_of_aligned, whole_checkpoint
from simcrop.compose.predicting import prompt_texts, sentence_scorer
from simcrop.compose.trained_encoder import TrainedEncoder, features_of
from simcrop.compose.view import View
from simcrop.core.evaluation.readouts import TokenReadOut
from simcrop.core.evaluation.references import ReferenceScans
from simcrop.core.evaluation.sentences import read_alone
from simcrop.core.model.simcrop import SimCroP
from simcrop.core.ports import Tokenizer
from simcrop.core.reports.reader import ReportReader


class TrainedModel(SimCroP):
    """A SimCroP in eval mode that reads scans itself; `load_model` makes one.

    A scan is a path (any format, or a folder of DICOM slices), a nibabel image, or a pair of voxels in HU and their
    affine. It is read, judged, resampled and cut as the commands do it, so the numbers are theirs.

    Attributes:
        name: path or hub id that it was loaded from.
        view: what it sees of a scan.
        references: scans among whose scores `locate` places those of a scan; None where it carries none.
    """

    name: str
    view: View
    references: ReferenceScans | None

    def embed(self, scan: ScanLike, *, features: TokenReadOut = "encoder") -> Float[Tensor, "F"]:
        """The features of a scan, as `simcrop embed` writes them; float32 on the CPU.

        Args:
            scan: one; see the class.
            features: encoder, the mean of the patch tokens; max or layers have more beside it.

        Raises:
            DataError, InputError: see `read_scan`.
        """
        return features_of(self.encoder, read_for(self, scan), features)

    def encode_text(self, sentences: Sequence[str]) -> Float[Tensor, "S dim"]:
        """Sentences in the space of `patch_features`, each read as a text of its own.

        Args:
            sentences: one or more.

        Raises:
            InputError: no sentence, or one without a word that the model knows.
            CheckpointError: the model was trained without alignment.
        """
        reports = self._reports()
        texts = tidy_sentences(sentences, "sentences")
        require_known(texts, self, reports.tokenizer, "sentences")
        return read_alone(self, reports, texts)

    def zero_shot(
        self, scan: ScanLike, prompts: str | Path | Mapping[str, Mapping[str, Sequence[str]]] | None = None
    ) -> dict[str, float]:
        """How much better sentences that assert a finding fit a scan than those that deny it: from -2 to 2.

        A score ranks scans for one finding; it is no probability.

        Args:
            scan: one; see the class.
            prompts: for each finding {"present": [sentences], "absent": [sentences]}, or a YAML file with that; None
                takes the built-in sentences of CT-RATE's findings.

        Raises:
            ConfigError: wrong prompts.
            CheckpointError: the model was trained without alignment.
            DataError, InputError: see `read_scan`.
        """
        reports = self._reports()
        texts = prompt_texts(Path(prompts) if isinstance(prompts, str) else prompts)
        scores = sentence_scorer(self, reports, [*texts.values()])(read_for(self, scan))[0]
        return dict(zip(texts, scores.tolist(), strict=True))

    def predict(self, scan: ScanLike) -> dict[str, float]:
        """What `simcrop predict` says of a scan: the scores of CT-RATE's findings by `zero_shot`."""
        return self.zero_shot(scan)

    def locate(
        self, scan: ScanLike, sentences: str | Sequence[str], *, findings: Sequence[str] | None = None
    ) -> list[SentenceMap]:
        """Where the model finds each sentence in a scan, as `simcrop locate` draws it.

        Args:
            scan: one; see the class.
            sentences: one or more.
            findings: sentences of the scan's report, among which each is read by a model that needs their context;
                None takes some that deny everything.

        Raises:
            InputError: no sentence, or one without a word that the model knows.
            CheckpointError: the model was trained without alignment.
            DataError: see `read_scan`.
        """
        tokenizer, opened = self._words(), read_scan(scan)
        texts = tidy_sentences([sentences] if isinstance(sentences, str) else sentences, "sentences")
        require_known(texts, self, tokenizer, "sentences")
        everything = look_for(texts, opened, self, tokenizer, findings, self.references)
        return [
            map_on_scan(text, opened, found, self, self.name) for text, found in zip(texts, everything, strict=True)
        ]

    def _words(self) -> Tokenizer:
        return tokenizer_of_aligned(self, self.name)

    def _reports(self) -> ReportReader:
        return ReportReader.of(self._words(), self.text_recipe)


class TrainedClassifier:
    """A fine-tuned classifier or a linear probe that reads scans itself; `load_classifier` makes one.

    Attributes:
        labels: that it tells.
        exclusive: whether a scan has exactly one of them, so that the probabilities sum to 1.
        thresholds: from which probability on a label is called present, chosen on selection patients; NaN where none
            could be chosen, empty for exclusive classes.
        view: what it sees of a scan.
    """

    def __init__(self, labeller: Labeller) -> None:
        known = labeller.labels
        self.labels, self.exclusive, self.view = known.names, known.exclusive, labeller.view
        self.thresholds = dict(zip(known.names, known.thresholds, strict=bool(known.thresholds)))
        self._scores = labeller.scores

    def predict(self, scan: ScanLike) -> dict[str, float]:
        """The probability of each label, as `simcrop predict` writes it.

        Args:
            scan: one; see `TrainedModel`.

        Raises:
            DataError, InputError: see `read_scan`.
        """
        scores = self._scores(self.view.volume(read_scan(scan)))[0]
        return dict(zip(self.labels, scores.tolist(), strict=True))


def load_model(path: str | Path, device: str | torch.device = "cpu", *, revision: str | None = None) -> TrainedModel:
    """A trained model, ready to use: in eval mode, with its tokenizer as `.tokenizer`.

    Args:
        path: a run folder (its latest checkpoint), one of its `checkpoints/step_*`, an exported folder, or a hub id;
            what lies here wins over a hub id of the same name.
        device: where to put it; on a GPU it uses the Triton kernels, whatever it was trained with.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: absent, damaged, unreachable, an encoder alone, or a fine-tuned classifier.
    """
    checkpoint = whole_checkpoint(path, revision)
    model = restore(checkpoint, device, TrainedModel)
    assert isinstance(model, TrainedModel)
    model.name, model.view = str(path), View.by(checkpoint.run_config(), model.recipe)
    model.references = find_references(checkpoint)
    return model


def load_classifier(
    path: str | Path, device: str | torch.device = "cpu", *, revision: str | None = None
) -> TrainedClassifier:
    """A classifier that `simcrop eval finetune` or `simcrop eval probe` left.

    Args:
        path: the folder of the evaluation; or a hub id of a fine-tuned one.
        device: where to put it.
        revision: branch, tag or commit of a hub id.

    Raises:
        CheckpointError: absent, damaged, or no classifier; or the model whose features a probe reads is gone.
    """
    return TrainedClassifier(load_labeller(path, torch.device(device), revision))


def read_for(model: TrainedModel | TrainedEncoder, scan: ScanLike) -> Int16[Tensor, "1 1 H W D"]:
    """A scan as a model reads it, for `encode`, `patch_features` or a training loop of one's own: HU, on the CPU.

    Args:
        model: from `load_model` or `load_encoder`.
        scan: a path, a nibabel image, or (voxels in HU, affine).

    Raises:
        DataError, InputError: see `read_scan`.
    """
    return model.view.volume(read_scan(scan))
