"""Draws depend on what they are for."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.randomness import derive_seed, generator, noise, shuffled

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


def test_an_order_is_drawn_once_and_is_what_it_always_was() -> None:
    # Another order would make resumed runs continue with other studies.
    assert shuffled(8, 0, "order", 1).tolist() == [5, 1, 2, 7, 3, 0, 6, 4]
    drawn = torch.randperm(1000, generator=generator(0, "order", 2))
    assert torch.equal(shuffled(1000, 0, "order", 2), drawn)
    assert shuffled(1000, 0, "order", 2) is shuffled(1000, 0, "order", 2)


def test_orders_of_parts_that_python_takes_for_equal_stay_apart() -> None:
    assert [shuffled(100, part).tolist() for part in (1, True)] == [
        torch.randperm(100, generator=generator(part)).tolist() for part in (1, True)
    ]


def test_noise_is_a_function_of_seed_and_place() -> None:
    seeds = torch.tensor([derive_seed("a"), 0, 7, derive_seed("b")])
    drawn = noise(seeds, 1000)
    assert torch.equal(noise(seeds, 2000)[:, :1000], drawn)
    assert torch.equal(noise(seeds[2:3], 1000)[0], drawn[2])
    assert noise(torch.tensor([0]), 3).tolist() == [[0.9067660570144653, 0.14870017766952515, 0.45217734575271606]]


def test_noise_is_uniform_and_its_seeds_have_nothing_in_common() -> None:
    drawn = noise(torch.tensor([derive_seed("study", number) for number in range(64)]), 4096)
    assert drawn.min() >= 0.0 and drawn.max() < 1.0  # noqa: PT018
    assert drawn.mean() == pytest.approx(0.5, abs=0.005)
    counts = torch.histc(drawn, 64, 0.0, 1.0) / drawn.numel() * 64
    assert (counts - 1).abs().max() < 0.07
    correlation = torch.corrcoef(drawn) - torch.eye(64)
    assert correlation.abs().max() < 0.08
    along = torch.corrcoef(torch.stack([drawn[:, :-1].flatten(), drawn[:, 1:].flatten()]))[0, 1]
    assert abs(along) < 0.01
