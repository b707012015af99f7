"""The section `segment`: what counts epochs becomes steps. Values that are refused: test_settings.py."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from simcrop.core.evaluation.segment_settings import SegmentSettings

EPOCHS = SegmentSettings(counted_in="epochs", steps=2000, warmup_steps=50, evaluate_every=50, evaluate_after=3)


def test_epochs_are_passes_over_the_volumes_that_are_learned_from() -> None:
    found = EPOCHS.in_steps(24)
    assert (found.steps, found.warmup_steps, found.evaluate_every, found.evaluate_after) == (48000, 1200, 1200, 72)
    assert found.in_steps(24) == found
    pairs = replace(EPOCHS, batch_size=5).in_steps(24)
    assert (pairs.steps, pairs.warmup_steps) == (10000, 250)


def test_what_is_not_given_stays_so() -> None:
    found = replace(EPOCHS, evaluate_every=None, warmup_steps=None).in_steps(3)
    assert (found.evaluate_every, found.warmup_steps) == (None, 600)


@given(st.integers(1, 500), st.integers(1, 40))
def test_an_epoch_has_a_place_for_every_volume_and_less_than_one_update_more(studies: int, batch: int) -> None:
    steps = replace(EPOCHS, batch_size=batch).in_steps(studies).steps // EPOCHS.steps
    assert 0 <= steps * batch - studies < batch


def test_steps_are_left_alone() -> None:
    assert SegmentSettings().in_steps(24) == SegmentSettings()
