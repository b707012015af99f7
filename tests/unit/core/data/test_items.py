"""One study as the model reads it, and how studies become a batch."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.boxes import apply_augmentation
from support.data_folders import AFFINE, write_ct_rate, write_volume
from support.reading_fakes import GRID, MODEL, WordTokenizer
from torch import Tensor

from simcrop.adapters.loading.organs import PreparedOrgans, prepare_organs
from simcrop.adapters.loading.prepared import PreparedVolumes
from simcrop.adapters.loading.preparing import prepare
from simcrop.adapters.sources.ct_rate import CTRateSource
from simcrop.adapters.text.tokenizer import train_tokenizer
from simcrop.core.data.augment import Augmentation, augment_box, crop_centre
from simcrop.core.data.batch import Batch, Padding
from simcrop.core.data.items import Item, ItemReader, ReadingSpec, collate
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import ConfigError
from simcrop.core.model.patches import patch_rows
from simcrop.core.randomness import derive_seed
from simcrop.core.recipe import (
    AlignmentRecipe,
    AugmentRecipe,
    ModelRecipe,
    ObjectivesRecipe,
    ReconstructionRecipe,
    ReportRecipe,
)
from simcrop.core.reports.reader import ReportReader
from simcrop.core.reports.text import sentence_key, sentences_of

MAX_TOKENS = 24
REPORTS = ReportReader(WordTokenizer(), MAX_TOKENS)


@pytest.fixture
def prepared(tmp_path: Path) -> PreparedVolumes:
    write_ct_rate(tmp_path / "data", ["train_1_a_1", "train_1_a_2"])
    source = CTRateSource(tmp_path / "data")
    return prepare(source, source.studies(), GRID, tmp_path / "cache")


def _study(findings: str, impression: str = "Not given.", study_id: str = "train_1_a") -> Study:
    return Study(study_id, "train_1", Report(findings, impression), ("train_1_a_1", "train_1_a_2"))


def _reader(
    prepared: PreparedVolumes,
    *,
    seed: int = 0,
    mask: str = "real",
    loss: str = "masked",
    predicted: float = 1.0,
    **augment: object,
) -> ItemReader:
    report = ReportRecipe(mask=mask, loss=loss, mask_ratio=0.5)  # type: ignore[arg-type]
    objectives = ObjectivesRecipe(ReconstructionRecipe(prediction_ratio=predicted), report)
    changes = replace(AugmentRecipe(shift_probability=0.0), **augment)  # type: ignore[arg-type]
    return ItemReader(prepared, REPORTS, ReadingSpec(MODEL, objectives, changes, seed))


def _drawn(reader: ItemReader, study: Study, epoch: int) -> tuple[Item, Augmentation]:
    return reader.for_training(study, epoch, torch.empty(reader.largest_box, dtype=torch.int16))


def _seen(drawn: tuple[Item, Augmentation]) -> Tensor:
    """What the model sees of a training item."""
    item, augmentation = drawn
    return augment_box(item.voxels, augmentation)


def _batch(prepared: PreparedVolumes, *studies: Study, **report: str) -> Batch:
    reader = _reader(prepared, **report)
    return collate([reader.for_evaluation(study) for study in studies], pad_id=reader.pad_id)


TWO = _study("Trachea is open. No nodule.", "All is well.")
NONE = _study("Not given.", "", study_id="empty")


def test_texts_are_padded_and_sentences_numbered(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, TWO, NONE)
    assert batch.inputs.findings.ids.tolist() == [[2, 17, 12, 15, 12, 17, 3], [2, 3, 0, 0, 0, 0, 0]]
    assert batch.inputs.findings.mask.tolist() == [[True] * 7, [True] * 2 + [False] * 5]
    assert batch.inputs.findings.sentence_of_token.tolist() == [[-1, 0, 0, 0, 1, 1, -1], [-1] * 7]
    assert batch.inputs.sentence_mask.tolist() == [[True, True], [False, False]]
    keys = [sentence_key(text) for text in sentences_of(TWO.report.findings)]
    assert batch.inputs.sentence_keys.tolist() == [keys, [0, 0]]
    assert batch.inputs.study_ids == ("train_1_a", "empty")
    assert batch.inputs.study_keys.tolist() == [derive_seed("train_1_a"), derive_seed("empty")]
    assert batch.inputs.num_cut == 0


def test_the_report_is_findings_and_impression_without_fillers(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, TWO, NONE)
    assert batch.inputs.report.ids.tolist() == [[2, 17, 12, 15, 12, 17, 13, 12, 15, 3], [2, 3] + [0] * 8]
    assert batch.inputs.report.mask.sum(1).tolist() == [10, 2]
    masked = batch.inputs.report.masked
    assert masked.sum(1).tolist() == [4, 0]
    assert torch.equal(
        batch.inputs.report.input_ids, batch.inputs.report.ids.masked_fill(masked, WordTokenizer.mask_id)
    )


def test_the_papers_masking_pads_to_the_limit_and_masks_padding(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, TWO, NONE, mask="any")
    assert batch.inputs.report.ids.shape == (2, MAX_TOKENS)
    assert batch.inputs.report.masked[1, 2:].any()
    assert batch.inputs.report.mask.sum(1).tolist() == [10, 2]


def test_texts_of_the_paper_have_no_separator_and_words_without_a_sentence(prepared: PreparedVolumes) -> None:
    text = "Heart is normal. Nodule behind"
    tokenizer = train_tokenizer([text] * 2, vocab_size=200, max_tokens=MAX_TOKENS)
    usual = _reader(prepared, mask="any")
    reader = ItemReader(prepared, ReportReader(tokenizer, MAX_TOKENS, "published", separator=False), usual.spec)
    items = [_drawn(reader, _study(text), epoch)[0] for epoch in range(60)]
    assert items[0].findings.encoding.sentence_of_token == (-1, 0, 0, 0, 0, -1, -1)
    assert items[0].report.mask.sum() == 7
    assert items[0].report.ids[:7].tolist() == list(items[0].findings.encoding.ids)
    share = torch.stack([item.report.masked for item in items]).float().mean(0)
    assert share[0] == share[-1] == 0
    assert share[1:-1].min() > 0.2, "the place behind the last word is hidden as often as any"
    batch = collate(items[:1], pad_id=reader.pad_id)
    assert batch.inputs.sentence_mask.tolist() == [[True]]


def test_a_loss_over_all_tokens_sees_the_same_padding_in_every_batch(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, NONE, loss="all")
    assert batch.inputs.report.ids.shape == (1, MAX_TOKENS)
    assert not batch.inputs.report.masked[0, 2:].any()


def test_a_batch_without_any_sentence_keeps_one_masked_place(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, NONE, replace(NONE, study_id="empty too"))
    assert batch.inputs.sentence_mask.tolist() == [[False], [False]]
    assert batch.inputs.sentence_keys.tolist() == [[0], [0]]


def test_a_sentence_without_a_token_is_masked(prepared: PreparedVolumes) -> None:
    study = _study("Silent. Heart is normal. Silent.")
    batch = _batch(prepared, study)
    assert batch.inputs.sentence_mask.tolist() == [[False, True]]
    assert batch.inputs.sentence_keys.tolist() == [[0, sentence_key("Heart is normal.")]]


def test_sentences_that_do_not_fit_are_left_out_and_counted(prepared: PreparedVolumes) -> None:
    long = _study(" ".join(f"Sentence {'x' * n} goes on and on and on." for n in range(1, 9)), study_id="long")
    batch = _batch(prepared, TWO, long)
    assert batch.inputs.num_cut == 1
    assert batch.inputs.sentence_mask.tolist() == [[True, True], [True, True]]
    assert int(batch.inputs.findings.mask[1].sum()) <= MAX_TOKENS


def test_evaluation_reads_the_centre_of_the_first_reconstruction(prepared: PreparedVolumes) -> None:
    batch = _batch(prepared, TWO)
    assert torch.equal(batch.volume[0, 0], crop_centre(prepared.read("train_1_a_1"), MODEL.volume_size))
    assert batch.volume.dtype == torch.int16
    assert batch.inputs.ids_keep.shape == (1, 4)
    assert sorted(batch.inputs.ids_keep[0].tolist() + batch.inputs.ids_masked[0].tolist()) == list(range(8))


def test_a_share_of_the_hidden_patches_is_predicted_others_in_each_epoch(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared, predicted=0.5)
    items = [_drawn(reader, TWO, epoch)[0] for epoch in range(20)]
    assert {(len(item.ids_keep), len(item.ids_masked)) for item in items} == {(4, 2)}
    assert all(not set(item.ids_keep.tolist()) & set(item.ids_masked.tolist()) for item in items)
    assert {patch for item in items for patch in item.ids_masked.tolist()} == set(range(8))


def test_reconstructions_take_turns(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared, crop=False)
    centres = [crop_centre(prepared.read(name), MODEL.volume_size) for name in TWO.reconstructions]
    seen = [_seen(_drawn(reader, TWO, epoch)) for epoch in range(4)]
    first = 0 if torch.equal(seen[0], centres[0]) else 1
    assert [torch.equal(seen[epoch], centres[(first + epoch) % 2]) for epoch in range(4)] == [True] * 4


def _draws(reader: ItemReader, study: Study, epoch: int) -> list[Tensor]:
    item, augmentation = _drawn(reader, study, epoch)
    return [_seen((item, augmentation)), item.ids_keep, item.report.masked]


def test_draws_depend_on_seed_epoch_and_study_alone(prepared: PreparedVolumes) -> None:
    text = " ".join(["word"] * 20)
    here, there = _study(text), replace(_study(text), study_id="another", reconstructions=("train_1_a_1",))
    first = _draws(_reader(prepared), here, 3)
    reader = _reader(prepared)
    _draws(reader, there, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, _draws(reader, here, 3), strict=True))
    for other in (_draws(_reader(prepared, seed=1), here, 3), _draws(reader, here, 5), _draws(reader, there, 3)):
        assert not all(torch.equal(a, b) for a, b in zip(first[1:], other[1:], strict=True))


def test_patches_of_padding_sentences_are_drawn_where_they_count_and_other_draws_stay(
    prepared: PreparedVolumes,
) -> None:
    usual = _reader(prepared)
    paper = AlignmentRecipe(top_k=3, padding_negatives=True, padding_patches="drawn")
    objectives = replace(usual.spec.objectives, alignment=paper)
    reader = ItemReader(prepared, REPORTS, replace(usual.spec, objectives=objectives))
    drawn = [_drawn(reader, TWO, epoch)[0] for epoch in range(40)]
    places = torch.stack([each.padding_patches for each in drawn if each.padding_patches is not None])
    assert places.shape == (40, 3)
    assert all(len(set(row)) == 3 for row in places.tolist())
    assert set(places.flatten().tolist()) == set(range(MODEL.num_visible))
    assert torch.equal(places[7], _drawn(reader, TWO, 7)[0].padding_patches)
    assert torch.equal(drawn[7].ids_keep, _drawn(usual, TWO, 7)[0].ids_keep)
    batch = collate([reader.for_evaluation(study) for study in (TWO, NONE)], pad_id=reader.pad_id)
    assert batch.inputs.padding_patches is not None
    assert batch.inputs.padding_patches.shape == (2, 3)
    first = replace(paper, padding_patches="first"), replace(paper, padding_negatives=False)
    for recipe in first:
        reader = ItemReader(prepared, REPORTS, replace(usual.spec, objectives=replace(objectives, alignment=recipe)))
        assert reader.for_evaluation(TWO).padding_patches is None


def test_masks_do_not_change_with_augmentation(prepared: PreparedVolumes) -> None:
    plain, augmented = (_draws(_reader(prepared, **more), TWO, 0) for more in ({}, {"flip": 1.0, "pad": "reflect"}))
    assert not torch.equal(plain[0], augmented[0])
    assert all(torch.equal(a, b) for a, b in zip(plain[1:], augmented[1:], strict=True))


def test_the_shift_is_in_the_windows_unit(prepared: PreparedVolumes) -> None:
    still = _seen(_drawn(_reader(prepared), TWO, 0))
    moved = _seen(_drawn(_reader(prepared, shift=0.1, shift_probability=1.0), TWO, 0))
    (shift,) = (moved - still).unique().tolist()
    assert 0 < abs(shift) <= 100


def test_a_model_of_several_channels_is_refused(prepared: PreparedVolumes) -> None:
    with pytest.raises(ConfigError, match=r"model\.in_channels: 2"):
        ItemReader(
            prepared, REPORTS, ReadingSpec(replace(MODEL, in_channels=2), ObjectivesRecipe(), AugmentRecipe(), seed=0)
        )


def test_a_batch_is_augmented_as_each_of_its_studies_would_be(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared, scale=(0.5, 1.0), flip=0.5, shift_probability=1.0, pad="reflect")
    studies = [replace(TWO, study_id=f"study {number}") for number in range(4)]
    items = [_drawn(reader, study, 0) for study in studies]
    batch = reader.training_batch(studies, 0)
    assert len(batch.volume) == sum(item.voxels.numel() for item, _ in items)
    assert len(set(batch.augmentations)) == 4
    seen = batch.augmented()
    assert torch.equal(seen.volume[:, 0], torch.stack([_seen(item) for item in items]))
    assert seen.inputs is batch.inputs


def test_padding_lengthens_texts_and_changes_nothing_else(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared)
    items = [reader.for_evaluation(study) for study in (TWO, NONE)]
    features = [torch.ones(len(item.findings.encoding.ids), 4).half() for item in items]
    items = [replace(item, findings_features=each) for item, each in zip(items, features, strict=True)]
    plain = collate(items, pad_id=0).inputs
    longer = collate(items, pad_id=0, padding=Padding(tokens=16, sentences=5, max_tokens=MAX_TOKENS)).inputs
    shapes = longer.findings.ids.shape, longer.report.ids.shape, longer.sentence_mask.shape
    assert shapes == ((2, 16), (2, 16), (2, 5))
    assert longer.findings_features is not None
    assert longer.findings_features.shape == (2, 16, 4)
    for name in ("ids", "mask", "sentence_of_token"):
        padded, value = getattr(longer.findings, name), -1 if name == "sentence_of_token" else 0
        assert torch.equal(padded[:, :7], getattr(plain.findings, name))
        assert (padded[:, 7:] == value).all()
    assert torch.equal(longer.sentence_keys[:, :2], plain.sentence_keys)
    assert not longer.sentence_mask[:, 2:].any()
    assert not longer.report.mask[:, plain.report.mask.shape[1] :].any()
    for inputs in (plain, longer):
        assert inputs.report.places.tolist() == inputs.report.masked.flatten().nonzero().flatten().tolist()


@pytest.mark.parametrize("pad", ["air", "reflect"])
def test_the_box_of_a_batch_is_that_of_the_whole_volume(prepared: PreparedVolumes, pad: str) -> None:
    reader = _reader(prepared, scale=(0.7, 1.6), flip=0.5, shift_probability=0.5, pad=pad)
    for epoch in range(40):
        batch = reader.training_batch([TWO], epoch)
        name = TWO.reconstructions[(epoch + derive_seed(TWO.study_id)) % 2]
        whole = apply_augmentation(prepared.read(name), batch.augmentations[0])
        assert torch.equal(batch.augmented().volume[0, 0], whole)


def test_a_batch_is_written_into_the_room_that_it_is_given(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared, scale=(0.5, 1.5))
    room = torch.full((3 * reader.largest_box,), 77, dtype=torch.int16)
    batch = reader.training_batch([TWO, TWO], 0, room)
    assert batch.volume.data_ptr() == room.data_ptr()
    assert (room[len(batch.volume) :] == 77).all()
    assert torch.equal(batch.volume, reader.training_batch([TWO, TWO], 0).volume)


TISSUE = {"above": ("above_0",), "dense": ("above_40", "above_60"), "absent": ("absent",)}


@pytest.fixture
def organs(tmp_path: Path, prepared: PreparedVolumes) -> PreparedOrgans:
    """Masks of the voxels of the first reconstruction that are above some HU; its grid has the voxels of the file."""
    source = CTRateSource(tmp_path / "data")
    voxels = source.read_volume("train_1_a_1").voxels.numpy()
    for above in (0, 40, 60):
        path = tmp_path / f"data/ground_truth/train_1_a_1/above_{above}.nii.gz"
        write_volume(path, (voxels > above).astype(np.uint8), AFFINE)
    names = ["train_1_a_1", "train_1_a_2"]
    cache = tmp_path / "cache"
    progress = lambda done, total: None  # noqa: E731
    return prepare_organs(
        source, source, TISSUE, prepared, names, cache=cache, storage="raw", workers=1, progress=progress
    )


LARGER = replace(MODEL, volume_size=(12, 12, 8))
"""Than what is prepared, so that boxes reach outside."""


def _with_organs(
    prepared: PreparedVolumes, organs: PreparedOrgans, seed: int, model: ModelRecipe = MODEL, **augment: object
) -> ItemReader:
    recipe = replace(AugmentRecipe(shift_probability=0.0), **augment)  # type: ignore[arg-type]
    return ItemReader(prepared, REPORTS, ReadingSpec(model, ObjectivesRecipe(), recipe, seed), organs=organs)


def _shares_above(batch: Batch) -> Tensor:
    """Of the visible patches that the encoder sees, the shares above 0 and above 40 HU."""
    rows = patch_rows(batch.volume, batch.inputs.ids_keep, MODEL.patch_size)
    return torch.stack([(rows > hu).float().mean(2) for hu in (0, 40)], dim=2)


@pytest.mark.parametrize("pad", ["air", "reflect"])
@pytest.mark.parametrize("scaling", ["zoom", "cut"])
@pytest.mark.parametrize("model", [MODEL, LARGER], ids=["inside", "beyond"])
def test_shares_of_organs_belong_to_the_patches_that_the_encoder_sees(
    prepared: PreparedVolumes, organs: PreparedOrgans, model: ModelRecipe, pad: str, scaling: str
) -> None:
    scale = (0.6, 1.0) if scaling == "cut" else (1.0, 1.0)
    seen = 0
    for seed in range(6):
        reader = _with_organs(prepared, organs, seed, model, flip=0.5, pad=pad, scaling=scaling, scale=scale)
        for epoch in (0, 1):
            batch = reader.training_batch([TWO], epoch).augmented()
            shares = batch.inputs.organ_shares
            assert shares is not None
            turn = (epoch + derive_seed(TWO.study_id)) % 2
            if turn == 1:  # the second reconstruction has no masks
                assert shares.isnan().all()
                continue
            assert torch.equal(shares[..., :2], _shares_above(batch))
            assert shares[..., 2].isnan().all()
            seen += len(shares[..., :2].unique())
    assert seen > 20


def test_held_out_studies_have_shares_of_their_centre(prepared: PreparedVolumes, organs: PreparedOrgans) -> None:
    reader = _with_organs(prepared, organs, 0)
    masked = replace(TWO, reconstructions=("train_1_a_2",))
    batch = collate([reader.for_evaluation(TWO), reader.for_evaluation(masked)], pad_id=reader.pad_id)
    shares = batch.inputs.organ_shares
    assert shares is not None
    assert torch.equal(shares[0, :, :2], _shares_above(batch)[0])
    assert shares[1].isnan().all()


def test_without_organs_there_are_no_shares(prepared: PreparedVolumes) -> None:
    reader = _reader(prepared)
    assert reader.training_batch([TWO], 0).inputs.organ_shares is None
    assert _batch(prepared, TWO).inputs.organ_shares is None
