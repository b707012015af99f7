"""The terms of the loss."""

from dataclasses import fields

import pytest

from simcrop.core.errors import ConfigError
from simcrop.core.recipe import (
    PAPER,
    PRESETS,
    TERMS,
    AlignmentRecipe,
    ObjectivesRecipe,
    OrganSharesRecipe,
    ReportRecipe,
)


def test_the_terms_are_the_objectives() -> None:
    assert tuple(field.name for field in fields(ObjectivesRecipe)) == TERMS


def test_words_cannot_read_what_nothing_selects() -> None:
    report = ReportRecipe(aligned_key=0.2)
    assert ObjectivesRecipe(report=report).report.aligned_key == 0.2
    off = AlignmentRecipe(weight=0.0)
    with pytest.raises(ConfigError, match=r"report\.aligned_key: is above 0, and alignment\.weight is 0"):
        ObjectivesRecipe(report=report, alignment=off)
    ObjectivesRecipe(report=ReportRecipe(weight=0.0, aligned_key=0.2), alignment=off)


def test_organ_shares_are_off_in_every_recipe() -> None:
    assert "organ_shares" not in ObjectivesRecipe().active
    assert all("organ_shares" not in changes.get("objectives", {}) for changes in (PAPER, *PRESETS.values()))


def test_classes_of_organs_are_those_of_a_chest_or_as_given_in_the_order_of_names() -> None:
    organs = OrganSharesRecipe().organs
    assert len(organs) == 9
    assert "lung_upper_lobe_left" in organs["left_lung"]
    assert {"left_lung", "right_lung", "trachea"} <= {mask for masks in organs.values() for mask in masks}
    given = OrganSharesRecipe(classes={"b": ("x",), "a": ("y", "z")}).organs
    assert list(given.items()) == [("a", ("y", "z")), ("b", ("x",))]


def test_classes_of_organs_need_masks_and_fit_a_number() -> None:
    with pytest.raises(
        ConfigError, match=r"^organ_shares\.classes: heart names no mask; write \[heart\], or leave it out$"
    ):
        OrganSharesRecipe(classes={"heart": ()})
    with pytest.raises(ConfigError, match=r"^organ_shares\.classes: 16 are more than 15$"):
        OrganSharesRecipe(classes={str(number): ("x",) for number in range(16)})
