"""Draws depend on what they are for."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.randomness import derive_seed, generator

PARTS = st.lists(st.one_of(st.integers(), st.text("abc")), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_different_parts_give_different_seeds_in_range(one: list[object], other: list[object]) -> None:
    assert 0 <= derive_seed(*one) < 2**63
    assert (derive_seed(*one) == derive_seed(*other)) == ([str(x) for x in one] == [str(x) for x in other])


def test_seeds_are_the_same_on_every_machine_and_in_every_version() -> None:
    # A changed value would make resumed runs continue with other draws.
    assert derive_seed(0, "masks", "study_1") == 4794167505309683302


def test_parts_do_not_run_together() -> None:
    assert derive_seed("ab", "c") != derive_seed("a", "bc")


def test_generators_are_independent_of_what_was_drawn_before() -> None:
    torch.manual_seed(1)
    first = torch.rand(5, generator=generator(3, "x"))
    torch.rand(100)
    assert torch.equal(torch.rand(5, generator=generator(3, "x")), first)
    assert not torch.equal(torch.rand(5, generator=generator(4, "x")), first)
