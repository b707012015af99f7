"""Scores of sentences in reference scans: of kept patches those of all, and where another scan stands among them."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.held_out_fakes import BrightnessModel, FakeSource, box, held_out
from torch import Tensor
from torch.nn import functional

from simcrop.core.errors import InputError
from simcrop.core.evaluation.references import BEST, MOST_PATCHES, ReferenceScans, Standing, gather_references


class Patches(BrightnessModel):
    """A volume is its own patches."""

    def __init__(self) -> None:
        super().__init__(held_out(FakeSource())[0].reports.tokenizer)

    def patch_features(self, volume: Tensor, *, tokens: Tensor | None = None) -> Tensor:
        return volume


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def unit(values: Tensor) -> Tensor:
    return functional.normalize(values, dim=-1)


@given(seed=st.integers(0, 1000), num_scans=st.integers(1, 5), num_sentences=st.integers(1, 20))
def test_scores_of_the_sentences_that_chose_are_those_of_all_patches(
    seed: int, num_scans: int, num_sentences: int
) -> None:
    patches, sentences = drawn(seed, num_scans, 60, 5), drawn(seed + 1, num_sentences, 5)
    patches[0, ::2] = 0
    found = gather_references(Patches(), patches.split(2), sentences, held_out=True)
    assert found is not None
    cosines = torch.einsum("se,vne->svn", unit(sentences), unit(patches))
    expected = cosines.masked_fill(~(patches != 0).any(-1), -2).amax(2)
    torch.testing.assert_close(found.scores(3 * sentences), expected)
    assert found.num_scans == num_scans
    assert len(found.patches) <= BEST * num_sentences * num_scans
    torch.testing.assert_close(found.patches.norm(dim=1), torch.ones(len(found.patches)))


def test_of_too_many_patches_those_of_the_most_sentences_are_kept() -> None:
    patches = torch.eye(500)[None]
    sentences = torch.cat([torch.eye(500), torch.eye(500)[400:]])
    found = gather_references(Patches(), [patches], sentences, held_out=True)
    assert found is not None
    assert len(found.patches) == MOST_PATCHES
    assert bool((found.scores(torch.eye(500)[400:]) == 1).all())


def test_scans_of_air_are_no_reference_scans() -> None:
    def volumes() -> Iterator[Tensor]:
        yield torch.stack([torch.zeros(4, 3), torch.eye(4)[:, :3], torch.zeros(4, 3), torch.ones(4, 3)])

    found = gather_references(Patches(), volumes(), torch.eye(3), held_out=False)
    assert found is not None
    assert (found.num_scans, found.held_out) == (2, False)
    torch.testing.assert_close(found.scores(torch.eye(3)[:1]), torch.tensor([[1.0, 3**-0.5]]))
    assert gather_references(Patches(), [torch.zeros(1, 4, 3)], torch.eye(3), held_out=True) is None


def test_air_is_not_kept_where_it_would_be_nearer_than_tissue() -> None:
    patches = torch.tensor([[[-1.0, 0], [0, 0], [-1, -1], [0, 0], [-1, 1], [-2, 1]]])
    found = gather_references(Patches(), [patches], torch.tensor([[1.0, 0]]), held_out=True)
    assert found is not None
    torch.testing.assert_close(found.scores(torch.tensor([[1.0, 0]])), torch.tensor([[-(2**-0.5)]]))


def test_a_score_stands_above_those_that_are_lower() -> None:
    patches = unit(torch.tensor([[1.0, 0], [1, 1], [0, 1], [-1, 0]]))
    references = ReferenceScans(patches, torch.tensor([0, 1, 2, 3]), held_out=True)
    sentence = torch.tensor([2.0, 0])
    shares = [references.standing(sentence, score).share_below for score in (-1.0, -0.5, 0.0, 0.5, 0.8, 1.0, 1.1)]
    assert shares == [0, 0.25, 0.25, 0.5, 0.75, 0.75, 1]
    assert Standing(0.875, 32, held_out=True).text == (
        "higher than in 88 % of 32 reference scans held out of the training data"
    )
    assert Standing(0, 5, held_out=False).text == "higher than in 0 % of 5 reference scans of the training data"


def test_a_model_of_scans_knows_where_a_sentence_is_true() -> None:
    source = FakeSource()
    for number in range(10):
        source.add(number, "x.", [], bright=box((0, 0, 0), (4, 4, 3)) if number < 3 else None)
    reader, model = held_out(source)
    volumes = (volume for _, volume in reader.batches(reader.studies, 4))
    references = gather_references(model.eval(), volumes, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), held_out=True)
    assert references is not None
    assert references.standing(torch.tensor([1.0, 0.0]), 0.5).share_below == pytest.approx(0.7)


@pytest.mark.parametrize("numbers", [[], [1], [0, 2], [1, 0], [0]])
def test_scans_that_are_not_counted_are_refused(numbers: list[int]) -> None:
    with pytest.raises(InputError, match=r"^reference scans: "):
        ReferenceScans(torch.ones(2 if numbers else 0, 3), torch.tensor(numbers, dtype=torch.int64), held_out=True)
