"""Report reconstruction: which tokens are predicted, and what a micro-batch and a rank add to the loss of a step."""

import pytest
import torch
import torch.nn.functional as F
from support.small_models import ThreadRank, make_batch, on_ranks

from simcrop.core.objectives.report import report_share, wanted_tokens
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import ReportRecipe


def test_masked_tokens_are_wanted_and_in_the_paper_every_position() -> None:
    report = make_batch([1]).inputs.report
    assert wanted_tokens(report, ReportRecipe(loss="all")).all()
    assert torch.equal(wanted_tokens(report, ReportRecipe(loss="masked")), report.masked)


def test_shares_add_up_to_the_mean_over_all_words() -> None:
    logits, targets = torch.randn(7, 5, dtype=torch.float64), torch.randint(0, 5, (7,))
    shares = [
        report_share(logits[part], targets[part], num_tokens=7, communicator=SingleProcess())
        for part in (slice(0, 2), slice(2, 7))
    ]
    torch.testing.assert_close(shares[0] + shares[1], F.cross_entropy(logits, targets))


def test_shares_are_averaged_over_ranks_to_the_steps_value() -> None:
    logits, targets = torch.randn(6, 5), torch.randint(0, 5, (6,))
    rows = (slice(0, 1), slice(1, 6))

    def share(rank: ThreadRank) -> float:
        own = rows[rank.rank]
        return report_share(logits[own], targets[own], num_tokens=6, communicator=rank).item()

    assert sum(on_ranks(2, share)) / 2 == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-5)


def test_nothing_to_count_gives_zero_still_connected() -> None:
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = report_share(logits, torch.zeros(0, dtype=torch.int64), num_tokens=0, communicator=SingleProcess())
    assert loss.item() == 0.0
    loss.backward()
    assert logits.grad is not None


def test_low_precision_logits_are_summed_in_fp32() -> None:
    logits, targets = torch.randn(300, 5).bfloat16(), torch.randint(0, 5, (300,))
    loss = report_share(logits, targets, num_tokens=300, communicator=SingleProcess())
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, F.cross_entropy(logits.float(), targets))
