"""What the losses of a step are divided by."""

import pytest
import torch
import torch.nn.functional as F
from support.small_models import OBJECTIVES, ThreadRank, make_batch, on_ranks, only

from simcrop.core.objectives.losses import Counts, reconstruction_share, report_share, wanted_tokens
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import ObjectivesRecipe, ReportRecipe


def test_counts_are_of_all_micro_batches() -> None:
    batches = [make_batch([2, 0]), make_batch([3], first=2)]
    # 22 of 30 patches are masked; words 1, 3, 5, ... of 3 a sentence are masked: 3 of 6, 0, 5 of 9.
    assert Counts.of(batches, OBJECTIVES) == Counts(studies=3, masked_patches=66, report_tokens=8, sentences=5)


def test_the_papers_report_loss_counts_every_position() -> None:
    objectives = ObjectivesRecipe(report=ReportRecipe(loss="all"))
    assert Counts.of([make_batch([2, 0])], objectives).report_tokens == 2 * 8
    batch = make_batch([1])
    assert wanted_tokens(batch, ReportRecipe(loss="all")).all()
    assert torch.equal(wanted_tokens(batch, ReportRecipe(loss="masked")), batch.report_masked)


def test_counts_are_summed_over_ranks() -> None:
    def reduced(rank: ThreadRank) -> Counts:
        return Counts(1 + rank.rank, 10, 100 * rank.rank, 0).reduced(rank)

    assert on_ranks(2, reduced) == [Counts(3, 20, 100, 0)] * 2
    assert Counts(1, 2, 3, 4).reduced(SingleProcess()) == Counts(1, 2, 3, 4)


def test_all_is_the_masked_share_of_masked() -> None:
    batch = make_batch([1, 1])
    counts = Counts.of([batch], OBJECTIVES)
    mse = torch.tensor(3.0)
    masked, everything = (
        reconstruction_share(mse, batch, loss, counts, SingleProcess()).item() for loss in ("masked", "all")
    )
    assert masked == 3.0
    assert everything == pytest.approx(3.0 * 22 / 30)


def test_reconstruction_shares_weigh_by_masked_patches() -> None:
    batches, errors = [make_batch([1, 1, 1]), make_batch([1], first=3)], (torch.tensor(2.0), torch.tensor(6.0))
    counts = Counts.of(batches, OBJECTIVES)
    shares = [
        reconstruction_share(mse, batch, "masked", counts, SingleProcess())
        for mse, batch in zip(errors, batches, strict=True)
    ]
    assert sum(shares).item() == pytest.approx((3 * 2.0 + 6.0) / 4)  # type: ignore[union-attr]


def test_report_shares_add_up_to_the_mean_over_all_words() -> None:
    logits, targets = torch.randn(7, 5, dtype=torch.float64), torch.randint(0, 5, (7,))
    counts = Counts(1, 1, 7, 1)
    shares = [report_share(logits[part], targets[part], counts, SingleProcess()) for part in (slice(0, 2), slice(2, 7))]
    torch.testing.assert_close(shares[0] + shares[1], F.cross_entropy(logits, targets))


def test_shares_are_averaged_over_ranks_to_the_steps_value() -> None:
    batches = [make_batch([1, 1, 1]), make_batch([1], first=3)]
    logits, targets = torch.randn(6, 5), torch.randint(0, 5, (6,))
    rows = (slice(0, 1), slice(1, 6))

    def shares(rank: ThreadRank) -> tuple[float, float]:
        counts = Counts.of([batches[rank.rank]], only("reconstruction")).reduced(rank)
        counts = Counts(counts.studies, counts.masked_patches, 6, counts.sentences)
        mse = torch.tensor((2.0, 6.0)[rank.rank])
        return (
            reconstruction_share(mse, batches[rank.rank], "masked", counts, rank).item(),
            report_share(logits[rows[rank.rank]], targets[rows[rank.rank]], counts, rank).item(),
        )

    (mse_0, report_0), (mse_1, report_1) = on_ranks(2, shares)
    assert (mse_0 + mse_1) / 2 == pytest.approx((3 * 2.0 + 6.0) / 4)
    assert (report_0 + report_1) / 2 == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)


def test_nothing_to_count_gives_zero_still_connected() -> None:
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = report_share(logits, torch.zeros(0, dtype=torch.int64), Counts(1, 0, 0, 0), SingleProcess())
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None
    share = reconstruction_share(torch.tensor(0.0), make_batch([1]), "all", Counts(1, 0, 0, 0), SingleProcess())
    assert share.item() == 0.0


def test_low_precision_logits_are_summed_in_fp32() -> None:
    logits, targets = torch.randn(300, 5).bfloat16(), torch.randint(0, 5, (300,))
    loss = report_share(logits, targets, Counts(1, 1, 300, 1), SingleProcess())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), targets))
