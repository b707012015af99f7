"""The terms of the loss."""

from dataclasses import fields

from simcrop.core.recipe import TERMS, ObjectivesRecipe


def test_the_terms_are_the_objectives() -> None:
    assert tuple(field.name for field in fields(ObjectivesRecipe)) == TERMS
