"""Arguments that do not fit an operation are refused by name."""

import pytest
import torch
from torch import Tensor

from simcrop.core.errors import InputError
from simcrop.core.ops import Window
from simcrop.core.reference import (
    masked_patch_embed,
    masked_patch_mse,
    sentence_patch_topk,
    sentence_volume_scores,
)

PATCH, N, E, P = (4, 3, 2), 30, 5, 48
IDS = torch.tensor([[29, 0, 7, 7], [3, 2, 1, 28]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": torch.zeros(E, 1, *PATCH)}, r"weight: expected shape .*\(5, 2, 4, 3, 2\), got \(5, 1, 4, 3, 2\)"),
        ({"bias": torch.zeros(1)}, r"bias: expected \[5\], one value a channel, got \[1\]"),
        ({"volume": torch.zeros(2, 2, 8, 9, 10, dtype=torch.int16)}, r"window: a volume of torch.int16 needs one"),
        ({"volume": torch.zeros(2, 8, 9, 10)}, r"volume: expected \[B, C, H, W, D\]"),
        ({"volume": torch.zeros(2, 2, 8, 9, 11)}, r"volume: 11 voxels on axis 2 are not divisible by patch_size 2"),
        ({"pos_embed": torch.zeros(N + 1, E)}, r"pos_embed: expected \(30, 5\), one row a patch, got \(31, 5\)"),
        ({"ids_keep": torch.zeros(3, 1, dtype=torch.int64)}, r"ids_keep: expected int64 \[2, any\], .* \[3, 1\]"),
        ({"ids_keep": torch.zeros(2, 1, dtype=torch.int32)}, r"ids_keep: expected int64 .*torch.int32"),
        ({"ids_keep": torch.zeros(2, dtype=torch.int64)}, r"ids_keep: expected int64 \[2, any\], .* \[2\]"),
        ({"ids_keep": torch.tensor([[0], [N]])}, r"ids_keep: values 0..30 are outside 0..29"),
        ({"ids_keep": torch.tensor([[-1], [5]])}, r"ids_keep: values -1..5 are outside 0..29"),
    ],
)
def test_what_does_not_fit_an_embedding_is_refused_by_name(change: dict[str, Tensor], message: str) -> None:
    sizes = {"volume": (2, 2, 8, 9, 10), "weight": (E, 2, *PATCH), "bias": (E,), "pos_embed": (N, E)}
    arguments = {name: torch.zeros(size) for name, size in sizes.items()} | {"ids_keep": IDS} | change
    with pytest.raises(InputError, match=message):
        masked_patch_embed(**arguments, patch_size=PATCH)


@pytest.mark.parametrize(
    ("windows", "message"),
    [
        ([(-1000, 1000)] * 3, r"weight: expected shape \[E, C x 3 windows, .*\(5, 6, 4, 3, 2\), got \(5, 4, 4, 3, 2\)"),
        ([(-1000, 1000), (250, -150)], r"window: expected low < high, got \(250, -150\)"),
        ([], r"window: a volume of torch.int16 needs one"),
    ],
)
def test_windows_that_do_not_fit_are_refused(windows: list[Window], message: str) -> None:
    volume, weight = torch.zeros(2, 2, 8, 9, 10, dtype=torch.int16), torch.zeros(E, 4, *PATCH)
    with pytest.raises(InputError, match=message):
        masked_patch_embed(volume, weight, None, None, IDS, patch_size=PATCH, window=windows)


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"sentences": torch.zeros(3, 4)}, r"sentences: expected \[B, S, E\], got \[3, 4\]"),
    ({"patches": torch.zeros(2, 6, 5)}, r"patches: expected \[B, N, 4\], got \[2, 6, 5\]"),
    ({"patches": torch.zeros(6, 4)}, r"patches: expected \[B, N, 4\], got \[6, 4\]"),
    ({"k": 0}, r"k: 0 is outside 1..6 \(patches: 6\)"),
    ({"k": 7}, r"k: 7 is outside 1..6 \(patches: 6\)"),
    ({"k": 129, "patches": torch.zeros(2, 200, 4)}, r"k: 129 is outside 1..128 \(patches: 200\)"),
    ({"sentence_mask": torch.ones(2, 4, dtype=torch.bool)}, r"sentence_mask: expected bool \[2, 3\], .*\[2, 4\]"),
    ({"sentence_mask": torch.ones(2, 3)}, r"sentence_mask: expected bool \[2, 3\], got torch.float32"),
]


@pytest.mark.parametrize("operation", [sentence_patch_topk, sentence_volume_scores])
@pytest.mark.parametrize(("change", "message"), REFUSED)
def test_what_does_not_fit_pairs_is_refused_by_name(operation: object, change: dict[str, object], message: str) -> None:
    arguments = {"sentences": torch.zeros(2, 3, 4), "patches": torch.zeros(2, 6, 4), "k": 2} | change
    with pytest.raises(InputError, match=message):
        operation(**arguments)  # type: ignore[operator]


def test_sentences_and_patches_of_other_studies_are_refused() -> None:
    with pytest.raises(InputError, match=r"sentences: 2 studies do not match the 3 of patches"):
        sentence_patch_topk(torch.zeros(2, 3, 4), torch.zeros(3, 6, 4), k=2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pred": torch.zeros(2, 4, P - 1)}, r"pred: expected \[B, M, P\] = \(2, 4, 48\), got \(2, 4, 47\)"),
        ({"pred": torch.zeros(2, 3, P)}, r"pred: expected \[B, M, P\] = \(2, 4, 48\), got \(2, 3, 48\)"),
        ({"volume": torch.zeros(2, 2, 8, 9, 10, dtype=torch.int16)}, r"window: a volume of torch.int16 needs one"),
        ({"volume": torch.zeros(2, 2, 8, 9, 11)}, r"volume: 11 voxels on axis 2"),
        ({"ids_masked": IDS + 1}, r"ids_masked: values 1..30 are outside 0..29"),
        ({"ids_masked": IDS - 1}, r"ids_masked: values -1..28 are outside 0..29"),
        ({"ids_masked": IDS.int()}, r"ids_masked: expected int64 \[2, any\], got torch.int32"),
    ],
)
def test_what_does_not_fit_an_error_is_refused_by_name(change: dict[str, Tensor], message: str) -> None:
    arguments = {"pred": torch.zeros(2, 4, P), "volume": torch.zeros(2, 2, 8, 9, 10), "ids_masked": IDS} | change
    with pytest.raises(InputError, match=message):
        masked_patch_mse(**arguments, patch_size=PATCH)


def test_a_patch_of_one_value_cannot_be_normalised() -> None:
    pred, volume, ids = torch.zeros(1, 1, 1), torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, dtype=torch.int64)
    assert masked_patch_mse(pred, volume, ids, patch_size=(1, 1, 1)).item() == 0.0
    with pytest.raises(InputError, match=r"normalize_patches: a patch of one value has no variance"):
        masked_patch_mse(pred, volume, ids, patch_size=(1, 1, 1), normalize_patches=True)
