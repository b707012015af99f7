"""Products of the sentences of a study with its patches, and the norms of the patches."""

import pytest
import torch
from support.kernel_inputs import Draw
from support.parity import DEVICE, FLOATS

from simcrop.kernels.study_products import study_products


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("S", "N", "E"), [(5, 40, 70), (70, 130, 16)])
def test_products_of_shown_sentences_and_norms_of_all_patches(S: int, N: int, E: int, dtype: torch.dtype) -> None:
    """In the second study all sentences are hidden: its patches' norms are wanted all the same."""
    draw = Draw()
    sentences, patches = draw.normal(2, S, E, dtype=dtype), draw.normal(2, N, E, dtype=dtype)
    shown = torch.rand(2, S, generator=draw.generator) > 0.3
    shown[1] = False
    products, inverse_n = (x.cpu() for x in study_products(*(x.to(DEVICE) for x in (sentences, patches, shown))))
    exact = torch.einsum("bse,bne->bsn", sentences.double(), patches.double())
    torch.testing.assert_close(products[shown], exact[shown].float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(inverse_n, (1 / patches.double().norm(dim=2)).float(), rtol=1e-4, atol=0)
