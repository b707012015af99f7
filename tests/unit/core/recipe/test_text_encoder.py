"""Reading of the report encoder, where its keys are left out."""

from typing import Any

import pytest

from simcrop.core.recipe import TextEncoderRecipe


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, True), ({"keep_findings": False}, False), ({"frozen": False}, False), ({"dropout_active": True}, False)],
)
def test_findings_are_read_once_where_what_is_read_never_changes(changed: dict[str, bool], expected: bool) -> None:
    assert TextEncoderRecipe(**{"frozen": True, **changed}).reads_findings_once is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "frozen", "expected"),
    [("scratch", None, False), ("some/hub-id", None, True), ("scratch", True, True), ("some/hub-id", False, False)],
)
def test_a_loaded_encoder_is_frozen_unless_said_otherwise(source: str, frozen: bool | None, expected: bool) -> None:
    assert TextEncoderRecipe(source=source, frozen=frozen).is_frozen is expected


@pytest.mark.parametrize(
    ("source", "context", "expected"),
    [
        ("scratch", None, True),
        ("some/hub-id", None, False),
        ("scratch", "report", False),
        ("some/id", "sentence", True),
    ],
)
def test_scratch_reads_sentences_apart_unless_said_otherwise(source: str, context: Any, expected: bool) -> None:
    assert TextEncoderRecipe(source=source, context=context).reads_sentences_apart is expected
