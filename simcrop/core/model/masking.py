"""Draw the patches and the words that are hidden (docs/method.md, sections 2 and 5), with the caller's generator."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from simcrop.core.recipe import ReportRecipe


def draw_patch_mask(
    num_patches: int, num_visible: int, generator: torch.Generator, *, prediction_ratio: float = 1.0
) -> tuple[Int64[Tensor, "L"], Int64[Tensor, "M"]]:
    """Split 0..num_patches-1 into visible and masked patches, uniformly at random.

    Args:
        num_patches: N.
        num_visible: L, patches that the encoder sees; H = N - L are hidden from it.
        generator: source of the draws.
        prediction_ratio: share of the hidden patches that are to be rebuilt.

    Returns:
        (ids_keep, ids_masked), each sorted ascending: the distribution is that of any order, and memory is read in
        order. M = round(prediction_ratio * H), at least 1 where any is hidden.
    """
    order = torch.randperm(num_patches, generator=generator)
    num_hidden = num_patches - num_visible
    keep, hidden = order[:num_visible], order[num_visible:]
    num_predicted = min(num_hidden, max(1, round(prediction_ratio * num_hidden)))
    return keep.sort().values, hidden[:num_predicted].sort().values


def mask_report_tokens(
    ids: Int64[Tensor, "R"],
    *,
    is_real: Bool[Tensor, "R"],
    mask_id: int,
    recipe: ReportRecipe,
    generator: torch.Generator,
    has_separator: bool = True,
) -> tuple[Int64[Tensor, "R"], Bool[Tensor, "R"]]:
    """Replace drawn tokens by [MASK].

    Args:
        ids: one report's tokens, padded.
        is_real: True at tokens that are neither special nor padding.
        mask_id: the tokenizer's [MASK].
        recipe: `mask="real"` hides exactly round(mask_ratio * n), at least 1, of the n real tokens; `mask="any"`
            (paper) hides each of the positions 1..R-2 by chance, padding included, never the separator.
        generator: source of the draws.
        has_separator: whether a separator token follows the last real one.

    Returns:
        (masked ids, True where a token was replaced). A report without real tokens keeps them all with "real".
    """
    noise = torch.rand(ids.shape[0], generator=generator)
    if recipe.mask == "any":
        masked = noise < recipe.mask_ratio
        masked[:1] = False
        masked[-1:] = False
        if has_separator:
            masked &= ~_separator(ids, is_real)
    else:
        num_real = int(is_real.sum())
        num_masked = min(num_real, max(1, round(recipe.mask_ratio * num_real)))
        chosen = noise.masked_fill(~is_real, 2.0).argsort()[:num_masked]
        masked = torch.zeros_like(is_real)
        masked[chosen] = True
    return ids.masked_fill(masked, mask_id), masked


def _separator(ids: Int64[Tensor, "R"], is_real: Bool[Tensor, "R"]) -> Bool[Tensor, "R"]:
    """True at the token that follows the last real one, or the class token where there is none."""
    position = int(is_real.nonzero().max()) + 1 if bool(is_real.any()) else 1
    separator = torch.zeros_like(is_real)
    separator[position : position + 1] = True
    return separator
