"""Batches of volumes: the same whoever reads them, from any step on."""

import pytest
import torch

from simcrop.adapters.loading.labelled import AugmentedStudies, volume_centres
from simcrop.core.data.augment import Augmenter
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.recipe import AugmentRecipe, ModelRecipe

RECIPE = ModelRecipe(volume_size=(4, 4, 4), patch_size=(2, 2, 2), embed_dim=12, num_heads=1)
STUDIES = [Study(f"s{n}", f"p{n}", Report("", ""), (f"v{n}", f"other{n}")) for n in range(7)]
TRUTH = torch.arange(7)[:, None] % 2 == 0


class Grid:
    size = (6, 6, 6)


class FewPrepared:
    """Volumes of one value each; one may be damaged."""

    grid = Grid()

    def __init__(self, damaged: str | None = None) -> None:
        self.damaged = damaged

    def read(self, name: str) -> torch.Tensor:
        if name == self.damaged:
            raise DataError(f"{name}: is damaged; delete it")
        assert name.startswith("v"), "only the first reconstruction is read"
        return torch.full(self.grid.size, int(name[1:]), dtype=torch.int16)

    def read_centre(self, name: str, size: tuple[int, int, int]) -> torch.Tensor:
        return self.read(name)[: size[0], : size[1], : size[2]]


def studies(batch_size: int = 3, num_workers: int = 0, prepared: FewPrepared | None = None) -> AugmentedStudies:
    return AugmentedStudies(
        STUDIES,
        TRUTH,
        prepared or FewPrepared(),  # pyright: ignore[reportArgumentType]
        Augmenter(AugmentRecipe(flip=0.5), RECIPE, seed=0),
        batch_size=batch_size,
        num_workers=num_workers,
    )


def test_centres_come_in_order_and_batches() -> None:
    names = [study.reconstructions[0] for study in STUDIES]
    prepared = FewPrepared()
    batches = list(volume_centres(prepared, names, (4, 4, 4), batch_size=3, num_workers=0))  # pyright: ignore[reportArgumentType]
    assert [tuple(batch.shape) for batch in batches] == [(3, 1, 4, 4, 4), (3, 1, 4, 4, 4), (1, 1, 4, 4, 4)]
    assert torch.cat(batches)[:, 0, 0, 0, 0].tolist() == list(range(7))


def test_an_epoch_reads_every_study_once_but_for_a_rest_and_truth_goes_along() -> None:
    source = studies()
    assert source.steps_per_epoch == 2
    batches = list(source.batches(1, 8))
    assert len(batches) == 8
    for first, second in zip(batches[::2], batches[1::2], strict=True):
        ids = [*first.study_ids, *second.study_ids]
        assert len(set(ids)) == 6
    for batch in batches:
        values = batch.volumes[:, 0, 0, 0]
        assert [f"s{value}" for value in values.tolist()] == list(batch.study_ids)
        assert batch.truth[:, 0].tolist() == (values % 2 == 0).tolist()
        assert batch.augmented(torch.device("cpu")).shape == (3, 1, 4, 4, 4)
    assert len({batch.study_ids for batch in batches}) > 4, "the order changes from epoch to epoch"
    assert len({each for batch in batches for each in batch.augmentations}) > 8


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_step_depends_on_its_number_alone(num_workers: int) -> None:
    later = list(studies(num_workers=num_workers).batches(5, 6))
    all_of_them = list(studies().batches(1, 6))
    for batch, expected in zip(later, all_of_them[4:], strict=True):
        assert (batch.study_ids, batch.augmentations) == (expected.study_ids, expected.augmentations)
        assert torch.equal(batch.volumes, expected.volumes)


def test_fewer_studies_than_a_batch_make_a_smaller_one() -> None:
    source = studies(batch_size=50)
    assert source.steps_per_epoch == 1
    assert sorted(source.read(3).study_ids) == [f"s{n}" for n in range(7)]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_damaged_volume_is_one_line(num_workers: int) -> None:
    with pytest.raises(DataError, match=r"^v3: is damaged; delete it$"):
        list(studies(num_workers=num_workers, prepared=FewPrepared("v3")).batches(1, 6))
    with pytest.raises(DataError, match=r"^v3: is damaged"):
        list(
            volume_centres(
                FewPrepared("v3"),  # pyright: ignore[reportArgumentType]
                ["v1", "v3"],
                (4, 4, 4),
                batch_size=1,
                num_workers=num_workers,
            )
        )
