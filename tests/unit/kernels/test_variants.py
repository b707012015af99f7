"""Variants of kernels: which is in use, for how long, and what is refused."""

import subprocess
import sys

import pytest

from simcrop.core.errors import ConfigError
from simcrop.kernels.variants import CHOICES, chosen, using


def test_the_first_is_in_use_and_another_for_a_while() -> None:
    assert all(chosen(name) == variants[0] for name, variants in CHOICES.items())
    with using(embed="fused"), using(embed_product="cublas"):
        assert (chosen("embed"), chosen("embed_product")) == ("fused", "cublas")
    assert chosen("embed") == "gather"


def test_it_is_put_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), using(embed="fused"):
        raise ZeroDivisionError
    assert chosen("embed") == "gather"


@pytest.mark.parametrize("wrong", [{"embed": "slow"}, {"speed": "fast"}])
def test_an_unknown_one_is_refused_with_what_there_is(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"embed=gather\|fused"), using(**wrong):
        pass


def test_the_environment_chooses_at_the_start() -> None:
    program = "from simcrop.kernels.variants import chosen; print(chosen('embed'))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"SIMCROP_KERNELS": "embed=fused"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "fused\n", done.stderr
