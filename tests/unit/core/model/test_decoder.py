"""The volume decoder: which token goes where, which are answered."""

from dataclasses import replace

import pytest
import torch
from support.small_models import MODEL
from torch import Tensor

from simcrop.core.model.decoder import VolumeDecoder

B, L, N = 2, 8, 30


def make_decoder(kind: str = "sincos3d") -> VolumeDecoder:
    torch.manual_seed(0)
    return VolumeDecoder(replace(MODEL, position_embedding=kind))


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Encoder tokens, visible and masked patches; the two studies show different patches."""
    draw = torch.Generator().manual_seed(1)
    orders = [torch.randperm(N, generator=draw) for _ in range(B)]
    keep = torch.stack([order[:L].sort().values for order in orders])
    masked = torch.stack([order[L:].sort().values for order in orders])
    return torch.randn(B, L + 1, 12, generator=draw), keep, masked


def by_lists(decoder: VolumeDecoder, tokens: Tensor, keep: Tensor, masked: Tensor) -> Tensor:
    """The same token by token, as docs/method.md, section 3 tells it: patches in the order of the volume."""
    answers = []
    for row, visible, hidden in zip(decoder.embed(tokens), keep.tolist(), masked.tolist(), strict=True):
        present = sorted(visible + hidden)
        sequence = [row[0] + decoder.pos_embed[0, 0]]
        for patch in present:
            token = row[1 + visible.index(patch)] if patch in visible else decoder.mask_token[0, 0]
            sequence.append(token + decoder.pos_embed[0, 1 + patch])
        x = torch.stack(sequence)[None]
        for block in decoder.blocks:
            x = block(x)
        everything = decoder.head(decoder.norm(x[0, 1:]))
        answers.append(everything[[present.index(patch) for patch in hidden]])
    return torch.stack(answers)


def test_tokens_are_unshuffled_and_masked_patches_answered() -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    answers = decoder(tokens, keep, masked)
    assert answers.shape == (B, N - L, MODEL.patch_values)
    torch.testing.assert_close(answers, by_lists(decoder, tokens, keep, masked))


def test_hidden_patches_that_nobody_asks_for_never_reach_the_decoder() -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    some = masked[:, ::3]
    answers = decoder(tokens, keep, some)
    torch.testing.assert_close(answers, by_lists(decoder, tokens, keep, some))
    assert not torch.allclose(answers, decoder(tokens, keep, masked)[:, ::3])


def test_the_order_of_the_visible_tokens_does_not_matter_as_long_as_their_ids_follow() -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    order = torch.randperm(L)
    shuffled = torch.cat([tokens[:, :1], tokens[:, 1:][:, order]], dim=1)
    torch.testing.assert_close(decoder(shuffled, keep[:, order], masked), decoder(tokens, keep, masked))
    assert not torch.allclose(decoder(shuffled, keep, masked), decoder(tokens, keep, masked))


def test_answers_come_in_the_order_of_the_masked_ids() -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    order = torch.randperm(N - L)
    torch.testing.assert_close(decoder(tokens, keep, masked[:, order]), decoder(tokens, keep, masked)[:, order])


def test_a_masked_patch_is_told_by_its_position_alone() -> None:
    tokens, keep, _ = inputs()
    column = [patch for patch in range(5) if patch not in keep[0].tolist()]
    ids = torch.tensor([column, column])
    deep, flat = (make_decoder(kind)(tokens, keep, ids)[0] for kind in ("sincos3d", "sincos_hw"))
    # The five patches of h = w = 0 differ in depth only, which the paper's table leaves out.
    assert len(column) >= 3
    assert (deep[1:] - deep[:-1]).abs().amax(1).min() > 1e-3
    torch.testing.assert_close(flat, flat[:1].expand_as(flat))


def test_the_class_token_is_read() -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    changed = tokens.clone()
    changed[:, 0] += 1
    assert not torch.allclose(decoder(changed, keep, masked), decoder(tokens, keep, masked))


@pytest.mark.parametrize("recompute", [False, True])
def test_the_mask_token_learns(recompute: bool) -> None:
    decoder, (tokens, keep, masked) = make_decoder(), inputs()
    decoder.recompute = recompute
    assert decoder.mask_token.std().item() == pytest.approx(0.02, rel=0.6)
    decoder(tokens, keep, masked).square().sum().backward()
    assert decoder.mask_token.grad is not None
    assert decoder.mask_token.grad.abs().min() > 0
