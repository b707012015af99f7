"""Organ shares: the loss by hand, what counts nothing, and what a micro-batch and a rank add to the loss of a step."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from support.small_models import (
    OBJECTIVES,
    ThreadRank,
    make_batch,
    make_model,
    on_ranks,
    only,
    terms_of,
    to_double,
    with_inputs,
)

from simcrop.core.objectives.organ_shares import num_known_shares, organ_shares_loss
from simcrop.core.ports import SingleProcess

ALONE = SingleProcess()
NAN = math.nan


def test_the_loss_of_a_case_by_hand() -> None:
    # Two patches and two classes of one scan; nothing is known of the second class in the second scan.
    logits = torch.tensor([[[0.0, math.log(3.0)], [-math.log(4.0), 0.0]], [[math.log(9.0), 5.0], [0.0, -5.0]]])
    shares = torch.tensor([[[0.5, 0.75], [0.25, 1.0]], [[0.0, NAN], [1.0, NAN]]])
    # The predicted shares are 1/2, 3/4; 1/5, 1/2; and 9/10, 1/2.
    expected = -(
        math.log(1 / 2)
        + (0.75 * math.log(3 / 4) + 0.25 * math.log(1 / 4))
        + (0.25 * math.log(1 / 5) + 0.75 * math.log(4 / 5))
        + math.log(1 / 2)
        + math.log(1 / 10)
        + math.log(1 / 2)
    )
    loss = organ_shares_loss(logits, shares, num_known=6, communicator=ALONE)
    assert loss.item() == pytest.approx(expected / 6, rel=1e-6)


def test_the_loss_passes_gradcheck() -> None:
    draw = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 4, dtype=torch.float64, generator=draw, requires_grad=True)
    shares = torch.rand(2, 3, 4, dtype=torch.float64, generator=draw)
    shares[1, :, 2] = NAN

    def loss(x: torch.Tensor) -> torch.Tensor:
        return organ_shares_loss(x, shares, num_known=21, communicator=ALONE)

    assert torch.autograd.gradcheck(loss, (logits,))
    loss(logits).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, shares.isnan())


@pytest.mark.parametrize("is_asked", [True, False])
def test_scans_without_masks_give_zero_still_connected(is_asked: bool) -> None:
    logits = torch.randn(2, 3, 4, requires_grad=True)
    shares = torch.full((2, 3, 4), NAN) if is_asked else None
    loss = organ_shares_loss(logits, shares, num_known=0, communicator=ALONE)
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()


def test_shares_of_ranks_and_micro_batches_add_up_to_the_mean_over_all_that_is_known() -> None:
    logits, shares = torch.randn(3, 4, 2), torch.rand(3, 4, 2)
    shares[0, :, 1] = NAN
    known = ~shares.isnan()
    expected = F.binary_cross_entropy_with_logits(logits[known], shares[known]).item()
    rows = (slice(0, 1), slice(1, 3))

    def share(rank: ThreadRank) -> float:
        own = rows[rank.rank]
        return organ_shares_loss(logits[own], shares[own], num_known=20, communicator=rank).item()

    assert sum(on_ranks(2, share)) / 2 == pytest.approx(expected, rel=1e-5)
    parts = [organ_shares_loss(logits[own], shares[own], num_known=20, communicator=ALONE).item() for own in rows]
    assert sum(parts) == pytest.approx(expected, rel=1e-5)


def test_low_precision_logits_are_summed_in_fp32() -> None:
    logits, shares = torch.randn(40, 50, 2).bfloat16(), torch.rand(40, 50, 2)
    loss = organ_shares_loss(logits, shares, num_known=shares.numel(), communicator=ALONE)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits.float(), shares))


def test_what_is_counted_is_what_is_known() -> None:
    batch = make_batch([1, 1, 1])
    assert num_known_shares(batch.inputs) == 8 * (2 + 0 + 1)
    assert num_known_shares(replace(batch.inputs, organ_shares=None)) == 0


def test_the_shares_are_predicted_from_the_visible_patches() -> None:
    model, batch = make_model(only("organ_shares"), double=True), to_double(make_batch([1, 1, 1]))
    head = model.get_submodule("organ_shares")
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
    logits = head(model.encoder(batch.volume, batch.inputs.ids_keep)[:, 1:])  # the class token is not among them
    shares = batch.inputs.organ_shares
    assert shares is not None
    known = ~shares.isnan()
    expected = F.binary_cross_entropy_with_logits(logits[known], shares[known].double())
    torch.testing.assert_close(terms_of(model, batch)["organ_shares"], expected)


def test_at_first_half_of_every_patch_is_of_each_class_and_the_encoder_is_trained() -> None:
    model, batch = make_model(only("organ_shares")), make_batch([1, 1])
    loss = terms_of(model, batch)["organ_shares"]
    assert loss.item() == pytest.approx(math.log(2), rel=1e-5)
    assert model.encoder.cls_token.requires_grad


def test_the_other_weights_begin_the_same_with_it_as_without_it() -> None:
    off = replace(OBJECTIVES, organ_shares=replace(OBJECTIVES.organ_shares, weight=0.0))
    without, with_it = make_model(off).state_dict(), make_model(OBJECTIVES).state_dict()
    assert with_it.keys() - without.keys() == {"organ_shares.weight", "organ_shares.bias"}
    assert all(torch.equal(value, with_it[name]) for name, value in without.items())


def test_a_weight_of_zero_changes_no_other_term() -> None:
    off = replace(OBJECTIVES, organ_shares=replace(OBJECTIVES.organ_shares, weight=0.0))
    batch = make_batch([2, 1])
    without = terms_of(make_model(off).eval(), with_inputs(batch, organ_shares=None))
    with_it = terms_of(make_model(OBJECTIVES).eval(), batch)
    assert without.keys() == with_it.keys() - {"organ_shares"}
    assert all(value.item() == with_it[name].item() for name, value in without.items())
