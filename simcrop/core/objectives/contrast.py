"""Compare all micro-batches of a step with the activations of one at a time (docs/method.md, section 12).

What each micro-batch is compared by is read, and kept without its activations. The share of all of it gives every kept
tensor a gradient. A micro-batch is then read again, and hands the gradients of what it reads on to the weights.

Source: Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv 2101.06983.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from simcrop.core.data.batch import Batch, TensorGroup
from simcrop.core.objectives.losses import OBJECTIVES, Counts
from simcrop.core.objectives.objective import Comparison, Pass, pad_sentences
from simcrop.core.recipe import ObjectivesRecipe


@dataclass(frozen=True, eq=False)
class Contrast:
    """An objective's term for one micro-batch of a step that was compared as a whole.

    Attributes:
        value: of the step's share, divided equally among its micro-batches.
        gradients: of the step's share with respect to each tensor that the micro-batch is compared by, then this
            micro-batch's part of those of the objective's own parameters; None: there is none.
    """

    value: Float[Tensor, ""]
    gradients: Sequence[Tensor | None]

    def term(self, tensors: Sequence[Tensor]) -> Float[Tensor, ""]:
        """The value, connected to the tensors that the gradients are of, now that the micro-batch is read again."""
        known = [
            (gradient, tensor)
            for gradient, tensor in zip(self.gradients, tensors, strict=True)
            if gradient is not None and tensor.requires_grad
        ]
        term: Tensor = _Known.apply(self.value, [gradient for gradient, _ in known], *(tensor for _, tensor in known))
        return term


Contrasts = Mapping[str, Contrast]
"""Name of an objective -> its term of a micro-batch."""
NOTHING_COMPARED: Contrasts = MappingProxyType({})


def comparisons(objectives: ObjectivesRecipe) -> dict[str, Comparison[Any]]:
    """How studies are compared with each other, by name of the objective that does."""
    return {
        each.name: each.share
        for each in OBJECTIVES
        if each.name in objectives.active
        and isinstance(each.share, Comparison)
        and each.share.crosses_studies(objectives)
    }


def compared(step: Pass) -> dict[str, TensorGroup]:
    """What a micro-batch's studies are compared by, for each of `comparisons`, without its graph."""
    return {name: each.read(step).mapped(Tensor.detach) for name, each in comparisons(step.objectives).items()}


def contrasts(parts: Iterable[Mapping[str, TensorGroup]], step: Pass, counts: Counts) -> list[Contrasts]:
    """Compare all micro-batches of this rank as if they were one.

    Args:
        parts: what `compared` gave for each; all have room for equally many sentences. They are held no longer than
            needed, so an iterator is the best.
        step: a pass of any of them.
        counts: of the whole step over all ranks.

    Returns:
        The terms of each micro-batch.
    """
    wholes, sizes = _together(parts)
    rows = {name: _contrast(name, whole, sizes, step, counts) for name, whole in wholes.items()}
    return [{name: row[number] for name, row in rows.items()} for number in range(len(sizes))]


def terms(step: Pass, counts: Counts, contrasts: Contrasts) -> dict[str, Tensor]:
    """The terms of a pass, each this rank's share, by name; those of weight 0 are absent.

    Args:
        step: the pass.
        counts: of the whole step over all ranks.
        contrasts: of this micro-batch; what is not among them is computed from the pass alone.
    """
    # Ahead of all else, as `compared` was: dropout then draws the same.
    known = comparisons(step.objectives)
    tensors = {name: [*_tensors(known[name].read(step)), *_parameters(step, name)] for name in contrasts}
    return {
        each.name: contrasts[each.name].term(tensors[each.name])
        if each.name in contrasts
        else each.share(step, counts.terms[each.name])
        for each in OBJECTIVES
        if each.name in step.objectives.active
    }


def with_room(batch: Batch, num_sentences: int) -> Batch:
    """The same batch with room for `num_sentences` in every report, as in one that it were a part of."""
    inputs = batch.inputs
    mask, keys = (pad_sentences(each, num_sentences) for each in (inputs.sentence_mask, inputs.sentence_keys))
    return replace(batch, inputs=replace(inputs, sentence_mask=mask, sentence_keys=keys))


def _together(parts: Iterable[Mapping[str, TensorGroup]]) -> tuple[dict[str, TensorGroup], list[int]]:
    """What all micro-batches are compared by, one after the other, and the number of studies of each."""
    held = list(parts)
    wholes: dict[str, TensorGroup] = {}
    for name, first in held[0].items():
        columns = zip(*(_tensors(part[name]) for part in held), strict=True)
        joined: Iterator[Tensor] = iter([torch.cat(column) for column in columns])
        wholes[name] = first.mapped(lambda _, joined=joined: next(joined))
    return wholes, [_tensors(next(iter(part.values())))[0].shape[0] for part in held]


def _contrast(name: str, whole: TensorGroup, sizes: list[int], step: Pass, counts: Counts) -> list[Contrast]:
    """The terms of one objective, a micro-batch each."""
    tensors, own, num_parts = _tensors(whole), _parameters(step, name), len(sizes)
    learned = {number: each.requires_grad_() for number, each in enumerate(tensors) if each.is_floating_point()}
    share = comparisons(step.objectives)[name].share(whole, step, counts.terms[name])
    found = torch.autograd.grad(share, [*learned.values(), *own], allow_unused=True)
    gradients: dict[int, Tensor | None] = dict(zip(learned, found, strict=False))
    split = [_split(gradients.get(number), sizes) for number in range(len(tensors))]
    split += [[each / num_parts] * num_parts for each in found[len(learned) :]]
    value = share.detach() / num_parts
    return [Contrast(value, [each[number] for each in split]) for number in range(num_parts)]


def _split(gradient: Tensor | None, sizes: list[int]) -> Sequence[Tensor | None]:
    return [None] * len(sizes) if gradient is None else gradient.split(sizes)


def _tensors(group: TensorGroup) -> list[Tensor]:
    """In the order of the fields."""
    found: list[Tensor] = []
    group.mapped(lambda tensor: found.append(tensor) or tensor)
    return found


def _parameters(step: Pass, name: str) -> list[nn.Parameter]:
    """The objective's own."""
    (objective,) = (each for each in OBJECTIVES if each.name == name)
    return [] if objective.module is None else list(step.module(name).parameters())


class _Known(torch.autograd.Function):
    """A number whose gradients with respect to some tensors are known."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *((gradient * grad_outputs[0]).to(gradient.dtype) for gradient in ctx.gradients)
