"""Variants are found by the choices that an operation's code asks for."""

import pytest
from kernel_variants import choices_of, name_of, variants_of
from support.kernel_inputs import EMBED_VARIANTS

from simcrop.core.ops import Ops
from simcrop.kernels.variants import CHOICES, chosen, using

OPS = [name for name in Ops.__dataclass_fields__ if name != "name"]


@pytest.mark.parametrize("op", OPS)
def test_the_defaults_come_first_and_every_variant_is_among_them(op: str) -> None:
    found = variants_of(op)
    assert all(variant == CHOICES[name][0] for name, variant in found[0].items())
    assert all(any(each.get(name) == variant for each in found) for name in choices_of(op) for variant in CHOICES[name])
    for choices in found:
        with using(**choices):
            assert all(chosen(name) == variant for name, variant in choices.items())


def test_no_two_variants_run_the_same_kernels() -> None:
    assert variants_of("masked_patch_embed") == EMBED_VARIANTS


def test_a_variant_is_named_by_its_choices() -> None:
    assert name_of({"embed": "gather", "embed_product": "cublas"}) == "embed=gather embed_product=cublas"
