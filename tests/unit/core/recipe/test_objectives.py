"""The terms of the loss."""

from dataclasses import fields

import pytest

from simcrop.core.errors import ConfigError
from simcrop.core.recipe import TERMS, AlignmentRecipe, ObjectivesRecipe, ReportRecipe


def test_the_terms_are_the_objectives() -> None:
    assert tuple(field.name for field in fields(ObjectivesRecipe)) == TERMS


def test_words_cannot_read_what_nothing_selects() -> None:
    report = ReportRecipe(aligned_key=0.2)
    assert ObjectivesRecipe(report=report).report.aligned_key == 0.2
    off = AlignmentRecipe(weight=0.0)
    with pytest.raises(ConfigError, match=r"report\.aligned_key: is above 0, and alignment\.weight is 0"):
        ObjectivesRecipe(report=report, alignment=off)
    ObjectivesRecipe(report=ReportRecipe(weight=0.0, aligned_key=0.2), alignment=off)
