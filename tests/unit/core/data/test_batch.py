"""Batches as they are loaded, and as the model sees them."""

import itertools
from dataclasses import dataclass, fields

import torch
from hypothesis import given
from hypothesis import strategies as st
from support import small_models
from support.tiny import make_batch
from torch import Tensor

from simcrop.core.data.augment import Augmentation
from simcrop.core.data.batch import (
    LONGEST,
    Batch,
    Encoding,
    Padding,
    PreparedBatch,
    TensorGroup,
    of_similar_length,
    padded,
)


def check_moved(before: object, after: object, name: str = "") -> int:
    """Number of tensors that were compared."""
    if isinstance(before, Tensor):
        assert isinstance(after, Tensor)
        assert after.device.type == "meta", name
        assert (after.shape, after.dtype) == (before.shape, before.dtype)
        return 1
    if isinstance(before, TensorGroup):
        assert type(after) is type(before)
        return sum(check_moved(getattr(before, f.name), getattr(after, f.name), f.name) for f in fields(before))  # type: ignore[arg-type]
    assert after == before
    return 0


def test_a_batch_moves_whole() -> None:
    batch = small_models.make_batch([2, 1])
    assert check_moved(batch, batch.to("meta")) == 15
    assert batch.volume.device.type == "cpu"


def test_what_is_no_tensor_stays() -> None:
    @dataclass(frozen=True, eq=False)
    class Named(TensorGroup):
        values: Tensor
        names: tuple[str, ...]
        missing: Tensor | None = None

    moved = Named(torch.zeros(2), ("a", "b")).to("meta")
    assert (moved.values.device.type, moved.names, moved.missing) == ("meta", ("a", "b"), None)


def test_texts_are_padded_to_the_longest() -> None:
    tokens = padded([Encoding((2, 3), (-1, -1), 0), Encoding((2, 8, 9, 3), (-1, 0, 1, -1), 1)], pad_id=7)
    assert tokens.ids.tolist() == [[2, 3, 7, 7], [2, 8, 9, 3]]
    assert tokens.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert tokens.sentence_of_token.tolist() == [[-1, -1, -1, -1], [-1, 0, 1, -1]]


def test_the_length_of_a_batch_is_its_studies() -> None:
    batch = make_batch([2, 0, 1])
    assert (len(batch), len(batch.augmented())) == (3, 3)


def test_each_volume_undergoes_its_own_augmentation() -> None:
    loaded = make_batch([1, 1])
    size = (8, 8, 8)
    still, turned = (Augmentation((0, 0, 0), size, size, flips) for flips in ((), (1,)))
    seen = PreparedBatch(loaded.volume, (still, turned), loaded.inputs).augmented()
    assert isinstance(seen, Batch)
    assert torch.equal(seen.volume, torch.stack([loaded.volume[0], loaded.volume[1].flip(2)]))
    assert seen.inputs is loaded.inputs


def test_rooms_come_again_and_end_at_the_limit_of_tokens() -> None:
    padding = Padding(tokens=128, sentences=16, max_tokens=200)
    assert [padding.for_tokens([3, length]) for length in (4, 128, 129, 200, 210)] == [128, 128, 200, 200, 210]
    assert [padding.for_sentences(number) for number in (1, 16, 17)] == [16, 16, 32]
    assert (LONGEST.for_tokens([3, 7]), LONGEST.for_sentences(5)) == (7, 5)


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 9))
def test_rows_of_similar_length_are_together(lengths: list[int], size: int) -> None:
    groups = of_similar_length(lengths, size)
    assert sorted(row for rows in groups for row in rows) == list(range(len(lengths)))
    assert all(1 <= len(rows) <= size for rows in groups)
    longest = [[lengths[row] for row in rows] for rows in groups]
    assert all(max(shorter) <= min(longer) for shorter, longer in itertools.pairwise(longest))
