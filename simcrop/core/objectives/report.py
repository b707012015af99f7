"""Masked report reconstruction (docs/method.md, section 5)."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from simcrop.core.data.batch import MaskedReport, at_places
from simcrop.core.objectives.objective import Objective, Pass
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ReportRecipe


def wanted_tokens(report: MaskedReport, recipe: ReportRecipe) -> Bool[Tensor, "B R"]:
    """Positions whose token is predicted: the masked ones, or (paper) all, padding included."""
    return report.masked if recipe.loss == "masked" else torch.ones_like(report.masked)


def report_share(
    logits: Float[Tensor, "n vocab"], targets: Int64[Tensor, "n"], *, num_tokens: int, communicator: Communicator
) -> Float[Tensor, ""]:
    """Share of the report reconstruction loss: summed cross-entropy over the number of wanted tokens in the step."""
    total = F.cross_entropy(logits.float() if logits.dtype != torch.float64 else logits, targets, reduction="sum")
    return total * communicator.world_size / max(1, num_tokens)


def _share(step: Pass, num_tokens: int) -> Float[Tensor, ""]:
    report = step.batch.inputs.report
    wanted = report.places if step.objectives.report.loss == "masked" else None
    targets = at_places(report.ids, wanted)
    return report_share(step.predicted_tokens(wanted), targets, num_tokens=num_tokens, communicator=step.communicator)


REPORT = Objective(
    "report",
    count=lambda inputs, objectives: int(wanted_tokens(inputs.report, objectives.report).sum()),
    share=_share,
)
