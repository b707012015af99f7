"""Compare what all ranks of a run must have in common, before a difference costs anything."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from simcrop.core.errors import RanksError
from simcrop.core.ports import Communicator

_MOST_NAMED = 4
_LONGEST = 80


def agree(communicator: Communicator, facts: Mapping[str, object], *, remedy: str) -> None:
    """Compare what each rank has.

    Args:
        communicator: the ranks; all call with their facts, under the same names.
        facts: name -> value, as JSON knows it.
        remedy: what to do where they differ.

    Raises:
        RanksError: on every rank, naming the first fact that differs, its values, and whose they are.
    """
    text = json.dumps(facts, sort_keys=True)
    if len(set(communicator.meet(hashlib.sha256(text.encode()).hexdigest()))) == 1:
        return  # so that thousands of ranks need not read thousands of configurations
    told: list[dict[str, object]] = [json.loads(each) for each in communicator.meet(json.dumps(facts))]
    for name in dict.fromkeys(name for each in told for name in each):
        values = [each.get(name) for each in told]
        if any(value != values[0] for value in values):
            raise RanksError(f"{name}: {differing(values)}; {remedy}")


def differing(values: Sequence[object]) -> str:
    """Each value with the ranks that have it, in words."""
    ranks: dict[str, list[int]] = {}
    for rank, value in enumerate(values):
        ranks.setdefault(str(value)[:_LONGEST], []).append(rank)
    return ", ".join(f"{value} on rank {_some(owners)}" for value, owners in list(ranks.items())[:_MOST_NAMED])


def _some(ranks: Sequence[int]) -> str:
    named = ", ".join(map(str, ranks[:_MOST_NAMED]))
    return f"{named} and {len(ranks) - _MOST_NAMED} more" if len(ranks) > _MOST_NAMED else named
