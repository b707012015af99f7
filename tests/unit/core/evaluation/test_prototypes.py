"""Prototypes of sentences, and the scores of volumes for them."""

import torch
from support.held_out_fakes import FakeSource, held_out

from simcrop.core.evaluation.prototypes import prototype_scores, prototypes, read_prototypes


def test_prototypes_are_the_centres_of_groups_and_the_same_for_a_seed() -> None:
    noise = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    groups = torch.eye(3).repeat_interleave(20, 0) + 0.01 * noise
    centres = prototypes(groups, 12, seed=0)
    assert centres.shape == (12, 3)
    torch.testing.assert_close(centres.norm(dim=1), torch.ones(12))
    assert bool(((centres @ torch.eye(3)).amax(1) > 0.99).all())
    assert torch.equal(centres, prototypes(groups, 12, seed=0))


def test_one_prototype_is_the_direction_of_the_mean() -> None:
    centre = prototypes(torch.tensor([[1.0, 0.0], [0.0, 5.0]]), 1, seed=0)
    torch.testing.assert_close(centre, torch.full((1, 2), 0.5**0.5))


def test_scores_are_means_of_the_best_patches_of_tissue() -> None:
    patches = torch.zeros(2, 40, 4)
    patches[:, :36, 1] = 3.0
    patches[0, :4] = torch.tensor([2.0, 0.0, 0.0, 0.0])
    scores = prototype_scores(patches, torch.tensor([[1.0, 0, 0, 0], [0, -1.0, 0, 0]]))
    torch.testing.assert_close(scores, torch.tensor([[1.0, 0.0, 4 / 32, -28 / 32], [0.0, -1.0, 0.0, -1.0]]))


def test_a_volume_of_air_scores_nothing() -> None:
    assert not prototype_scores(torch.zeros(1, 3, 2), torch.eye(2)).any()


def test_each_text_of_the_training_reports_counts_once() -> None:
    source = FakeSource()
    for number, findings in enumerate(["A bright spot. The heart is normal.", "The heart is normal.", ""]):
        source.add(number, findings, [], bright=None)
    reader, model = held_out(source)
    centres = read_prototypes(model.eval(), reader, source.list, seed=0)
    assert centres is not None
    assert sorted(centres[:, 0].tolist()) == [-1.0, 1.0]
    assert read_prototypes(model, reader, source.list[2:], seed=0) is None
