"""From a study to what a step needs of it: voxels and their augmentation, tokens, masks; from several, a batch."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Float16, Int16, Int64
from torch import Tensor

from simcrop.core.data.augment import Augmentation, Augmenter, centre_start
from simcrop.core.data.batch import (
    LONGEST,
    Batch,
    Encoding,
    Inputs,
    MaskedReport,
    Padding,
    PreparedBatch,
    pad_rows,
    padded,
)
from simcrop.core.data.organ_shares import shares_in_patches
from simcrop.core.data.study import Study
from simcrop.core.errors import ConfigError
from simcrop.core.model.masking import draw_patch_mask, mask_report_tokens
from simcrop.core.ports import FindingsFeatures, OrganBoxes, Volumes
from simcrop.core.randomness import derive_seed, generator
from simcrop.core.recipe import AugmentRecipe, ModelRecipe, ObjectivesRecipe
from simcrop.core.reports.reader import Findings, ReportReader

_CACHED_TEXTS = 1024
"""Studies whose tokens are kept in memory: some 10 MB."""


@dataclass(frozen=True)
class ReadingSpec:
    """Settings of how studies are read, but for the data and the tokenizer.

    Attributes:
        model: sizes, window and mask ratio.
        objectives: give the masking of the report and how many hidden patches are rebuilt.
        augment: changes of the volumes in training.
        seed: the run's.
        padding: lengths that the texts of a batch are padded to.
    """

    model: ModelRecipe
    objectives: ObjectivesRecipe
    augment: AugmentRecipe
    seed: int
    padding: Padding = LONGEST


@dataclass(frozen=True, eq=False)
class Item:
    """One study as the model reads it, but for its volume's augmentation; lengths are its own."""

    study_id: str
    findings: Findings
    voxels: Int16[Tensor, "H W D"]
    ids_keep: Int64[Tensor, "L"]
    ids_masked: Int64[Tensor, "M"]
    report: MaskedReport
    findings_features: Float16[Tensor, "T hidden"] | None = None
    local_draw: int | None = None
    padding_patches: Int64[Tensor, "K"] | None = None
    organ_shares: Float[Tensor, "L C"] | None = None


class ItemReader:
    """Reads studies; each draw is a function of the seed, the epoch and the study alone.

    Args:
        volumes: of the studies, on the model's grid.
        reports: reads their reports.
        spec: how they are masked and augmented.
        features: what a frozen text encoder made of the findings.
        organs: where the organs are, if their shares are wanted.

    Raises:
        ConfigError: if the model wants more than the one channel that CT has.
    """

    def __init__(
        self,
        volumes: Volumes,
        reports: ReportReader,
        spec: ReadingSpec,
        features: FindingsFeatures | None = None,
        organs: OrganBoxes | None = None,
    ) -> None:
        channels = spec.model.in_channels
        if channels != 1:
            raise ConfigError(f"model.in_channels: {channels}, but a CT volume has 1 channel; write 1")
        self.spec = spec
        self.pad_id = reports.tokenizer.pad_id
        self._volumes, self._reports, self._features, self._organs = volumes, reports, features, organs
        self._augmenter = Augmenter(spec.augment, spec.model, spec.seed)
        self._texts: OrderedDict[str, tuple[Findings, Encoding]] = OrderedDict()

    @property
    def largest_box(self) -> int:
        """Voxels of the largest box that training may cut from a volume."""
        return self._augmenter.largest_box

    def training_batch(
        self, studies: Sequence[Study], epoch: int, room: Int16[Tensor, "n"] | None = None
    ) -> PreparedBatch:
        """The boxes of the studies, what they have still to undergo, and their texts.

        Args:
            studies: of the batch.
            epoch: which the draws depend on.
            room: where the boxes are written; `largest_box` voxels for each study are enough.
        """
        if room is None:
            room = torch.empty(len(studies) * self.largest_box, dtype=torch.int16)
        items: list[Item] = []
        augmentations: list[Augmentation] = []
        used = 0
        for study in studies:
            item, augmentation = self.for_training(study, epoch, room[used:])
            items.append(item)
            augmentations.append(augmentation)
            used += item.voxels.numel()
        return PreparedBatch(room[:used], tuple(augmentations), _inputs(items, self.pad_id, self.spec.padding))

    def for_training(self, study: Study, epoch: int, room: Int16[Tensor, "n"]) -> tuple[Item, Augmentation]:
        """A box of a volume, written to the beginning of `room`, and what it has still to undergo.

        A study's reconstructions take turns from epoch to epoch.
        """
        turn = (epoch + derive_seed(study.study_id)) % len(study.reconstructions)
        augmentation = self._augmenter.draw(self._volumes.size, "augment", epoch, study.study_id)
        box = room[: math.prod(augmentation.size)].view(augmentation.size)
        name = study.reconstructions[turn]
        self._volumes.read_box(name, augmentation.start, box, pad=augmentation.pad)
        item = self._with_organs(self._item(study, box, epoch), name, augmentation)
        if self.spec.model.local is not None:
            item = replace(item, local_draw=derive_seed(self.spec.seed, "local patches", epoch, study.study_id))
        return item, augmentation

    def for_evaluation(self, study: Study) -> Item:
        """The centre of the first reconstruction, as it is, with masks that never change."""
        name, size = study.reconstructions[0], self.spec.model.volume_size
        item = self._item(study, self._volumes.read_centre(name, size), "validation")
        return self._with_organs(item, name, Augmentation(centre_start(self._volumes.size, size), size, size))

    def _item(self, study: Study, voxels: Int16[Tensor, "H W D"], occasion: object) -> Item:
        findings, report = self._text(study)
        model, seed = self.spec.model, self.spec.seed
        mask_draw = generator(seed, "patch mask", occasion, study.study_id)
        keep, masked = draw_patch_mask(
            model.num_patches,
            model.num_visible,
            mask_draw,
            prediction_ratio=self.spec.objectives.reconstruction.prediction_ratio,
        )
        return Item(
            study_id=study.study_id,
            findings=findings,
            voxels=voxels,
            ids_keep=keep,
            ids_masked=masked,
            report=self._masked(report, generator(seed, "report mask", occasion, study.study_id)),
            findings_features=None if self._features is None else self._features.read(study.report, findings.encoding),
            padding_patches=self._padding_patches(occasion, study),
        )

    def _with_organs(self, item: Item, reconstruction: str, augmentation: Augmentation) -> Item:
        """The item with the shares of organs in its visible patches, where they are wanted."""
        if self._organs is None:
            return item
        known = self._organs.known(reconstruction)
        bits = torch.zeros(augmentation.size, dtype=torch.int16)
        if any(known):
            self._organs.read_box(reconstruction, augmentation.start, bits, pad=augmentation.pad)
        shares = shares_in_patches(bits, known, augmentation, item.ids_keep, self.spec.model.patch_size)
        return replace(item, organ_shares=shares)

    def _padding_patches(self, occasion: object, study: Study) -> Int64[Tensor, "K"] | None:
        recipe = self.spec.objectives.alignment
        if not recipe.padding_negatives or recipe.padding_patches == "first":
            return None
        draw = generator(self.spec.seed, "padding patches", occasion, study.study_id)
        return torch.randperm(self.spec.model.num_visible, generator=draw)[: recipe.top_k]

    def _masked(self, report: Encoding, draw: torch.Generator) -> MaskedReport:
        recipe, length = self.spec.objectives.report, len(report.ids)
        ids = torch.tensor(report.ids)
        is_real = torch.tensor(report.sentence_of_token) >= 0
        if recipe.mask == "any" or recipe.loss == "all":
            # The paper masks and predicts padding too, so the padding must be there, and the same in every batch.
            room = (0, self._reports.max_tokens - length)
            ids = torch.nn.functional.pad(ids, room, value=self.pad_id)
            is_real = torch.nn.functional.pad(is_real, room)
        mask_id = self._reports.tokenizer.mask_id
        input_ids, masked = mask_report_tokens(
            ids,
            is_real=is_real,
            mask_id=mask_id,
            recipe=recipe,
            generator=draw,
            has_separator=self._reports.separator,
        )
        return MaskedReport.of(ids, input_ids, torch.arange(len(ids)) < length, masked)

    def _text(self, study: Study) -> tuple[Findings, Encoding]:
        """The findings, and the tokens of the whole report."""
        known = self._texts.get(study.study_id)
        if known is not None:
            return known
        findings = self._reports.findings(study.report)
        text = findings, self._reports.whole(study.report, findings)
        self._texts[study.study_id] = text
        if len(self._texts) > _CACHED_TEXTS:
            self._texts.popitem(last=False)
        return text


def collate(items: Sequence[Item], *, pad_id: int, padding: Padding = LONGEST) -> Batch:
    """A batch of items whose volumes are as the model sees them, their texts padded as `padding` says."""
    return Batch(torch.stack([item.voxels for item in items])[:, None], _inputs(items, pad_id, padding))


def _inputs(items: Sequence[Item], pad_id: int, padding: Padding) -> Inputs:
    encodings = [item.findings.encoding for item in items]
    tokens = padded(encodings, pad_id, padding.for_tokens(len(encoding.ids) for encoding in encodings))
    # One sentence at least, so that no tensor is empty; without a token it is masked.
    num_sentences = padding.for_sentences(max(1, int(tokens.sentence_of_token.max()) + 1))
    sentence_mask = (tokens.sentence_of_token[:, :, None] == torch.arange(num_sentences)).any(1)
    keys = torch.tensor([(item.findings.keys + (0,) * num_sentences)[:num_sentences] for item in items])
    features = [item.findings_features for item in items if item.findings_features is not None]
    draws = [item.local_draw for item in items if item.local_draw is not None]
    padding_patches = [item.padding_patches for item in items if item.padding_patches is not None]
    organ_shares = [item.organ_shares for item in items if item.organ_shares is not None]
    reports = [item.report for item in items]
    report_length = padding.for_tokens(len(report.ids) for report in reports)
    return Inputs(
        ids_keep=torch.stack([item.ids_keep for item in items]),
        ids_masked=torch.stack([item.ids_masked for item in items]),
        findings=tokens,
        sentence_mask=sentence_mask,
        sentence_keys=keys.masked_fill(~sentence_mask, 0),
        report=MaskedReport.of(
            pad_rows([report.ids for report in reports], pad_id, report_length),
            pad_rows([report.input_ids for report in reports], pad_id, report_length),
            pad_rows([report.mask for report in reports], False, report_length),
            pad_rows([report.masked for report in reports], False, report_length),
        ),
        study_keys=torch.tensor([derive_seed(item.study_id) for item in items]),
        study_ids=tuple(item.study_id for item in items),
        num_cut=sum(encoding.num_cut > 0 for encoding in encodings),
        findings_features=pad_rows(features, 0, tokens.ids.shape[1]) if features else None,
        local_draws=torch.tensor(draws) if draws else None,
        padding_patches=torch.stack(padding_patches) if padding_patches else None,
        organ_shares=torch.stack(organ_shares) if organ_shares else None,
    )
