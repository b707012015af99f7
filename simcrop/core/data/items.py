"""From a study to what a step needs of it: voxels and their augmentation, tokens, masks; from several, a Batch."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float16, Int16, Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import default_collate

from simcrop.core.data.augment import Augmentation, draw_augmentation, size_of
from simcrop.core.data.study import Batch, Study
from simcrop.core.errors import ConfigError
from simcrop.core.model.masking import draw_patch_mask, mask_report_tokens
from simcrop.core.ports import Encoding, FindingsFeatures, Tokenizer, Volumes
from simcrop.core.randomness import derive_seed, generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, ReportRecipe
from simcrop.core.reports.text import sentence_key, sentences_of

_CACHED_TEXTS = 1024
"""Studies whose tokens are kept in memory: some 10 MB."""


@dataclass(frozen=True)
class Text:
    """One report in tokens: the findings for alignment, findings and impression for reconstruction."""

    findings: Encoding
    sentence_keys: tuple[int, ...]
    report: Encoding


@dataclass(frozen=True, eq=False)
class Item:
    """One study as the model reads it; lengths are its own."""

    study_id: str
    text: Text
    voxels: Int16[Tensor, "H W D"]
    ids_keep: Int64[Tensor, "L"]
    ids_masked: Int64[Tensor, "M"]
    report_ids: Int64[Tensor, "R"]
    report_input_ids: Int64[Tensor, "R"]
    report_mask: Bool[Tensor, "R"]
    report_masked: Bool[Tensor, "R"]
    augmentation: Augmentation | None = None
    findings_features: Float16[Tensor, "T hidden"] | None = None


class ItemReader:
    """Reads studies; each draw is a function of the seed, the epoch and the study alone."""

    def __init__(
        self,
        volumes: Volumes,
        tokenizer: Tokenizer,
        *,
        model: ModelRecipe,
        report: ReportRecipe,
        max_tokens: int,
        seed: int,
        augment: AugmentRecipe | None = None,
        features: FindingsFeatures | None = None,
    ) -> None:
        """
        Args:
            volumes: of the studies, on the model's grid.
            tokenizer: of the text encoder.
            model: sizes, window and mask ratio.
            report: masking of the report.
            max_tokens: limit of a text, special tokens included.
            seed: the run's.
            augment: needed for `for_training`.
            features: what a frozen text encoder made of the findings.

        Raises:
            ConfigError: if the model wants more than the one channel that CT has.
        """
        if model.in_channels != 1:
            raise ConfigError(f"model.in_channels: {model.in_channels}, but a CT volume has 1 channel; write 1")
        self.pad_id = tokenizer.pad_id
        self._volumes = volumes
        self._tokenizer = tokenizer
        self._model = model
        self._report = report
        self._max_tokens = max_tokens
        self._seed = seed
        self._augment = augment
        self._features = features
        self._texts: OrderedDict[str, Text] = OrderedDict()

    def for_training(self, study: Study, epoch: int) -> Item:
        """The prepared volume and what it is to undergo; a study's reconstructions take turns from epoch to epoch."""
        assert self._augment is not None, "a reader for training needs the recipe of augmentation"
        turn = (epoch + derive_seed(study.study_id)) % len(study.reconstructions)
        voxels = self._volumes.read(study.reconstructions[turn])
        augmentation = draw_augmentation(
            self._augment,
            prepared_size=size_of(voxels),
            volume_size=self._model.volume_size,
            window=self._model.window,
            generator=generator(self._seed, "augment", epoch, study.study_id),
        )
        return self._item(study, voxels, epoch, augmentation)

    def for_evaluation(self, study: Study) -> Item:
        """The centre of the first reconstruction, as it is, with masks that never change."""
        voxels = self._volumes.read_centre(study.reconstructions[0], self._model.volume_size)
        return self._item(study, voxels, "validation")

    def _item(
        self,
        study: Study,
        voxels: Int16[Tensor, "H W D"],
        occasion: object,
        augmentation: Augmentation | None = None,
    ) -> Item:
        text = self._text(study)
        keep, masked = draw_patch_mask(
            self._model.num_patches,
            self._model.mask_ratio,
            generator(self._seed, "patch mask", occasion, study.study_id),
        )
        length = len(text.report.ids)
        ids = torch.tensor(text.report.ids)
        is_real = torch.tensor(text.report.sentence_of_token) >= 0
        if self._report.mask == "any" or self._report.loss == "all":
            # The paper masks and predicts padding too, so the padding must be there, and the same in every batch.
            ids = torch.nn.functional.pad(ids, (0, self._max_tokens - length), value=self.pad_id)
            is_real = torch.nn.functional.pad(is_real, (0, self._max_tokens - length))
        input_ids, report_masked = mask_report_tokens(
            ids,
            is_real=is_real,
            mask_id=self._tokenizer.mask_id,
            recipe=self._report,
            generator=generator(self._seed, "report mask", occasion, study.study_id),
        )
        return Item(
            study_id=study.study_id,
            text=text,
            voxels=voxels,
            ids_keep=keep,
            ids_masked=masked,
            report_ids=ids,
            report_input_ids=input_ids,
            report_mask=torch.arange(len(ids)) < length,
            report_masked=report_masked,
            augmentation=augmentation,
            findings_features=None if self._features is None else self._features.read(study.report, text.findings),
        )

    def _text(self, study: Study) -> Text:
        known = self._texts.get(study.study_id)
        if known is not None:
            return known
        findings = sentences_of(study.report.findings)
        impression = sentences_of(study.report.impression)
        text = Text(
            self._tokenizer.encode(findings, max_tokens=self._max_tokens),
            tuple(sentence_key(sentence) for sentence in findings),
            self._tokenizer.encode([*findings, *impression], max_tokens=self._max_tokens),
        )
        self._texts[study.study_id] = text
        if len(self._texts) > _CACHED_TEXTS:
            self._texts.popitem(last=False)
        return text


def collate(items: Sequence[Item], *, pad_id: int) -> Batch:
    """A batch of items, their texts padded to the longest."""
    findings = [item.text.findings for item in items]
    ids = _padded([torch.tensor(f.ids) for f in findings], pad_id)
    sentence_of_token = _padded([torch.tensor(f.sentence_of_token) for f in findings], -1)
    lengths = torch.tensor([len(f.ids) for f in findings])
    # One sentence at least, so that no tensor is empty; without a token it is masked.
    num_sentences = max(1, int(sentence_of_token.max()) + 1)
    numbers = torch.arange(num_sentences)
    sentence_mask = (sentence_of_token[:, :, None] == numbers).any(1)
    augmentations = tuple(item.augmentation for item in items if item.augmentation is not None)
    features = [item.findings_features for item in items if item.findings_features is not None]
    keys = [torch.tensor((*item.text.sentence_keys, 0)[:num_sentences]) for item in items]
    sentence_keys = torch.nn.functional.pad(_padded(keys, 0), (0, num_sentences))[:, :num_sentences]
    return Batch(
        # Not torch.stack: in a data worker this writes straight into shared memory.
        volume=default_collate([item.voxels for item in items])[:, None],
        ids_keep=torch.stack([item.ids_keep for item in items]),
        ids_masked=torch.stack([item.ids_masked for item in items]),
        findings_ids=ids,
        findings_mask=torch.arange(ids.shape[1]) < lengths[:, None],
        sentence_of_token=sentence_of_token,
        sentence_mask=sentence_mask,
        sentence_keys=sentence_keys.masked_fill(~sentence_mask, 0),
        report_ids=_padded([item.report_ids for item in items], pad_id),
        report_input_ids=_padded([item.report_input_ids for item in items], pad_id),
        report_mask=_padded([item.report_mask for item in items], False),
        report_masked=_padded([item.report_masked for item in items], False),
        study_keys=torch.tensor([derive_seed(item.study_id) for item in items]),
        study_ids=tuple(item.study_id for item in items),
        num_cut=sum(f.num_cut > 0 for f in findings),
        augmentations=augmentations or None,
        findings_features=_padded(features, 0) if features else None,
    )


def _padded(rows: Sequence[Tensor], value: float) -> Tensor:
    return pad_sequence(list(rows), batch_first=True, padding_value=value)
