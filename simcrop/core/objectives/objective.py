"""What a term of the loss is, and what it may ask of the network (docs/method.md, section 6).

A loss is normalised by a count over the whole step, that is over all ranks and micro-batches, never by a mean of means.
What an objective computes is this rank's share: summed over micro-batches and averaged over ranks it is the step's
value, because DDP averages gradients over ranks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from jaxtyping import Bool, Float
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, Inputs
from simcrop.core.objectives.sentences import Sentences
from simcrop.core.ops import Ops
from simcrop.core.ports import Communicator
from simcrop.core.recipe import ModelRecipe, ObjectivesRecipe


class Pass(Protocol):
    """One pass of a micro-batch through the network."""

    objectives: ObjectivesRecipe
    model: ModelRecipe
    ops: Ops
    batch: Batch
    communicator: Communicator
    num_studies: int
    """Of the whole step over all ranks."""

    def matched(self) -> tuple[Float[Tensor, "B L dim"], Sentences]:
        """Visible patches, and sentences of the findings, in the space that they share; computed once."""
        ...

    def predicted_patches(self) -> Float[Tensor, "B M P"]:
        """What the decoder makes of the masked patches."""
        ...

    def predicted_tokens(self, wanted: Bool[Tensor, "B R"]) -> Float[Tensor, "n vocab"]:
        """Logits of the wanted tokens of the report, from its unmasked words and the visible patches."""
        ...

    def module(self, name: str) -> nn.Module:
        """What the objective's `module` has made."""
        ...


@dataclass(frozen=True)
class Objective:
    """A term of the loss; its section of the recipe says how much it weighs, and what it needs.

    Attributes:
        name: of its section, its loss in metrics and pictures, and its module.
        count: number of things in a micro-batch that its loss is averaged over.
        share: this rank's share of its loss, from a pass and the count of the whole step over all ranks; 0, still
            connected to the parameters, where there is nothing to count.
        module: makes parameters of its own, where it has some.
    """

    name: str
    count: Callable[[Inputs, ObjectivesRecipe], int]
    share: Callable[[Pass, int], Float[Tensor, ""]]
    module: Callable[[ObjectivesRecipe, Ops], nn.Module] | None = None
