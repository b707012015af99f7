"""Volume reconstruction: what a micro-batch and a rank add to the loss of a step."""

import pytest
import torch
from support.small_models import ThreadRank, make_batch, on_ranks

from simcrop.core.objectives.reconstruction import reconstruction_share
from simcrop.core.ports import SingleProcess

MASKED = 22
"""Of the 30 patches of a study."""


def test_all_is_the_masked_share_of_masked() -> None:
    inputs, mse = make_batch([1, 1]).inputs, torch.tensor(3.0)
    masked, everything = (
        reconstruction_share(mse, inputs, loss, num_masked=2 * MASKED, communicator=SingleProcess()).item()
        for loss in ("masked", "all")
    )
    assert masked == 3.0
    assert everything == pytest.approx(3.0 * MASKED / 30)


def test_shares_weigh_by_masked_patches() -> None:
    batches, errors = [make_batch([1, 1, 1]), make_batch([1], first=3)], (torch.tensor(2.0), torch.tensor(6.0))
    shares = [
        reconstruction_share(mse, batch.inputs, "masked", num_masked=4 * MASKED, communicator=SingleProcess())
        for mse, batch in zip(errors, batches, strict=True)
    ]
    assert sum(shares).item() == pytest.approx((3 * 2.0 + 6.0) / 4)  # type: ignore[union-attr]


def test_shares_are_averaged_over_ranks_to_the_steps_value() -> None:
    batches = [make_batch([1, 1, 1]), make_batch([1], first=3)]

    def share(rank: ThreadRank) -> float:
        mse, inputs = torch.tensor((2.0, 6.0)[rank.rank]), batches[rank.rank].inputs
        return reconstruction_share(mse, inputs, "masked", num_masked=4 * MASKED, communicator=rank).item()

    assert sum(on_ranks(2, share)) / 2 == pytest.approx((3 * 2.0 + 6.0) / 4)


def test_nothing_to_count_gives_zero() -> None:
    inputs = make_batch([1]).inputs
    share = reconstruction_share(torch.tensor(0.0), inputs, "all", num_masked=0, communicator=SingleProcess())
    assert share.item() == 0.0
