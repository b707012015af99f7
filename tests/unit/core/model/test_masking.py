"""Masks of patches and of words."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simcrop.core.model.masking import draw_patch_mask, mask_report_tokens
from simcrop.core.randomness import generator
from simcrop.core.recipe import ReportRecipe

CLS, SEP, MASK_ID = 101, 102, 103


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 300), st.data(), st.integers(0, 5))
def test_visible_and_masked_patches_are_a_sorted_partition(num: int, data: st.DataObject, seed: int) -> None:
    visible = data.draw(st.integers(1, num))
    keep, masked = draw_patch_mask(num, visible, generator(seed))
    assert len(keep) == visible
    assert keep.dtype == masked.dtype == torch.int64
    assert keep.tolist() == sorted(keep.tolist())
    assert masked.tolist() == sorted(masked.tolist())
    assert sorted(keep.tolist() + masked.tolist()) == list(range(num))


@given(st.integers(1, 300), st.data(), st.floats(0.001, 1.0), st.integers(0, 5))
def test_a_share_of_the_hidden_patches_is_predicted(num: int, data: st.DataObject, share: float, seed: int) -> None:
    visible = data.draw(st.integers(1, num))
    keep, hidden = draw_patch_mask(num, visible, generator(seed))
    kept, predicted = draw_patch_mask(num, visible, generator(seed), prediction_ratio=share)
    assert torch.equal(kept, keep)
    assert len(predicted) == min(len(hidden), max(1, round(share * len(hidden))))
    assert predicted.tolist() == sorted(set(predicted.tolist()) & set(hidden.tolist()))


def test_every_patch_is_equally_likely_to_be_visible() -> None:
    draw, num, trials = generator("uniform"), 16, 4000
    seen = torch.zeros(num)
    together = 0
    for _ in range(trials):
        keep, _ = draw_patch_mask(num, num // 4, draw)
        seen[keep] += 1
        together += int({0, 1} <= set(keep.tolist()))
    # Standard deviation of a share of 1/4 over 4000 draws: 0.007; neighbours appear together in 4*3 / (16*15).
    assert (seen / trials - 0.25).abs().max() < 0.03
    assert abs(together / trials - 0.05) < 0.015


def test_the_generator_decides() -> None:
    first, again, other = (draw_patch_mask(200, 50, generator(key))[0] for key in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def report(num_real: int, num_padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.tensor([CLS, *range(200, 200 + num_real), SEP] + [0] * num_padding)
    places = torch.arange(len(ids))
    return ids, (places > 0) & (places <= num_real)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40), st.integers(0, 10), st.floats(0.01, 1.0), st.integers(0, 3))
def test_real_masks_an_exact_share_of_the_real_tokens(num: int, padding: int, ratio: float, seed: int) -> None:
    ids, is_real = report(num, padding)
    recipe = ReportRecipe(mask_ratio=ratio, mask="real")
    inputs, masked = mask_report_tokens(ids, is_real=is_real, mask_id=MASK_ID, recipe=recipe, generator=generator(seed))
    assert int(masked.sum()) == (max(1, round(ratio * num)) if num else 0)
    assert not (masked & ~is_real).any()
    assert (inputs[masked] == MASK_ID).all()
    assert torch.equal(inputs[~masked], ids[~masked])


def test_real_masks_any_real_token_alike() -> None:
    ids, is_real = report(8, 4)
    hits = torch.zeros(len(ids))
    draw = generator("alike")
    for _ in range(2000):
        hits += mask_report_tokens(ids, is_real=is_real, mask_id=MASK_ID, recipe=ReportRecipe(), generator=draw)[1]
    assert (hits[is_real] / 2000 - 0.75).abs().max() < 0.05


def test_any_masks_padding_too_but_neither_end_nor_the_separator() -> None:
    ids, is_real = report(6, 12)
    recipe = ReportRecipe(mask="any")
    draw, hits = generator("any"), torch.zeros(len(ids))
    for _ in range(2000):
        inputs, masked = mask_report_tokens(ids, is_real=is_real, mask_id=MASK_ID, recipe=recipe, generator=draw)
        assert torch.equal(inputs, torch.where(masked, MASK_ID, ids))
        hits += masked
    never = torch.zeros(len(ids), dtype=torch.bool)
    never[[0, 7, len(ids) - 1]] = True
    assert not hits[never].any()
    assert (hits[~never] / 2000 - 0.75).abs().max() < 0.05


def test_any_keeps_the_separator_of_an_empty_report() -> None:
    ids, is_real = report(0, 6)
    recipe = ReportRecipe(mask="any", mask_ratio=1.0)
    _, masked = mask_report_tokens(ids, is_real=is_real, mask_id=MASK_ID, recipe=recipe, generator=generator(0))
    assert masked.tolist() == [False, False, True, True, True, True, True, False]


def test_any_keeps_the_separator_of_a_report_that_fills_its_room() -> None:
    ids, is_real = report(5, 0)
    recipe = ReportRecipe(mask="any", mask_ratio=1.0)
    _, masked = mask_report_tokens(ids, is_real=is_real, mask_id=MASK_ID, recipe=recipe, generator=generator(0))
    assert masked.tolist() == [False, True, True, True, True, True, False]


def test_any_masks_what_follows_the_last_word_where_there_is_no_separator() -> None:
    ids, is_real = report(5, 3)
    recipe = ReportRecipe(mask="any", mask_ratio=1.0)
    _, masked = mask_report_tokens(
        ids, is_real=is_real, mask_id=MASK_ID, recipe=recipe, generator=generator(0), has_separator=False
    )
    assert masked.tolist() == [False, *[True] * (len(ids) - 2), False]
