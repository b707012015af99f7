"""Places of stored voxels in the world, and names of masks."""

import nibabel as nib
import numpy as np
import pytest

from simcrop.adapters.sources.phantom.render import affine_of, mask_name
from simcrop.adapters.sources.phantom.specification import Reconstruction


def grid(orientation: str, tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Reconstruction:
    spacing, origin = (2.0, 3.0, 5.0), (10.0, -20.0, 30.0)
    return Reconstruction((5, 7, 9), spacing, (0.0, 0.0, 0.0), orientation, tilt, origin, 0.5, 20.0, 0)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "LPI"])
@pytest.mark.parametrize("tilt", [(0.0, 0.0, 0.0), (2.0, -1.0, 2.5)])
def test_axes_grow_where_they_say_and_the_middle_is_the_origin(
    orientation: str, tilt: tuple[float, float, float]
) -> None:
    affine = affine_of(grid(orientation, tilt))
    assert "".join(nib.aff2axcodes(affine)) == orientation
    np.testing.assert_allclose(np.linalg.norm(affine[:3, :3], axis=0), [2, 3, 5])
    np.testing.assert_allclose((affine @ [2, 3, 4, 1])[:3], [10, -20, 30])


def test_a_tilt_turns_about_one_axis_by_its_degrees() -> None:
    affine = affine_of(grid("RAS", (0.0, 0.0, 90.0)))
    np.testing.assert_allclose(affine[:3, :3], [[0, -3, 0], [2, 0, 0], [0, 0, 5]], atol=1e-12)


def test_masks_are_called_by_organ_or_number() -> None:
    assert [mask_name(place) for place in ("trachea", 0, 12)] == ["trachea", "lesion_00", "lesion_12"]
