"""Notes on scans that look unlike a chest CT; a chest gets none."""

from pathlib import Path

import numpy as np
import torch

from simcrop.adapters.problems.unusual import unusual
from simcrop.core.data.study import Volume

MODEL_MM = (7.0, 7.0, 14.0)


def codes(
    seen: np.ndarray, spacing_mm: tuple[float, float, float] = (3.0, 3.0, 5.0), *, around: int = -1000
) -> list[str]:
    voxels = torch.full((100, 100, 60), around, dtype=torch.int16)
    volume = Volume(voxels, torch.diag(torch.tensor([*spacing_mm, 1.0]).double()))
    found = list(unusual(Path("a.nii"), volume, seen.astype(np.int16), MODEL_MM))
    assert {each.severity for each in found} <= {"note"}
    return [each.code for each in found]


def chest(lung: float) -> np.ndarray:
    """With this share of lung."""
    seen = np.full(1000, 40)
    seen[: round(1000 * lung)] = -800
    return seen.reshape(10, 10, 10)


def test_a_chest_is_not_noted() -> None:
    assert codes(chest(0.2)) == []
    assert codes(chest(0.02)) == []


def test_what_holds_no_lung_is_noted() -> None:
    assert codes(chest(0.01)) == ["content.no_lung"]
    assert codes(np.full((10, 10, 10), -1000)) == ["content.no_lung"], "air is no lung"


def test_what_is_coarser_than_the_model_or_no_chest_by_its_size_is_noted() -> None:
    assert codes(chest(0.2), (3.0, 3.0, 15.0)) == ["content.field_of_view", "content.coarse"]
    assert codes(chest(0.2), (1.0, 1.0, 5.0)) == ["content.field_of_view"]
    assert codes(chest(0.2), (6.0, 6.0, 13.0)) == []


def test_what_surrounds_the_patient_is_noted_where_it_is_no_air() -> None:
    assert codes(chest(0.2), around=0) == ["content.background"]
    assert codes(chest(0.2), around=-3024) == []
