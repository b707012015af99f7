"""Sections of a configuration that say how a model is measured: every value that is refused, by its key."""

from typing import Any

import pytest

from simcrop.core.errors import ConfigError
from simcrop.core.evaluation.segment_settings import SegmentSettings
from simcrop.core.evaluation.settings import (
    FinetuneSettings,
    GroundingSettings,
    LabelSettings,
    NeighbourSettings,
    ProbeSettings,
    RetrievalSettings,
    ZeroShotSettings,
)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (LabelSettings, {"percent": 0.0}, r"percent: 0.0 is outside \(0, 100\]"),
        (LabelSettings, {"percent": 100.5}, "percent: 100.5 is outside"),
        (LabelSettings, {"names": ("a", "b", "a")}, r"names: \['a', 'b', 'a'\] names one twice"),
        (LabelSettings, {"selection_fraction": 1.0}, "selection_fraction: 1.0 is outside"),
        (ProbeSettings, {"inverse_penalties": ()}, r"inverse_penalties: \[\] are not one or more numbers above 0"),
        (ProbeSettings, {"inverse_penalties": (1.0, 0.0)}, "inverse_penalties: "),
        (ProbeSettings, {"steps": 0}, "steps: "),
        (ProbeSettings, {"lr": 0.0}, "lr: "),
        (ProbeSettings, {"warmup_steps": -1}, "warmup_steps: -1 is below 0"),
        (NeighbourSettings, {"counts": (1, 0)}, r"counts: \[1, 0\] are not one or more numbers from 1 on"),
        (NeighbourSettings, {"temperature": 0.0}, "temperature: 0.0 is not above 0"),
        (FinetuneSettings, {"steps": -1}, "steps: -1 is below 0"),
        (FinetuneSettings, {"layer_decay": 1.5}, r"layer_decay: 1.5 is outside \(0, 1\]"),
        (SegmentSettings, {"steps": 0}, "steps: 0 is below 1"),
        (SegmentSettings, {"classes": ("bone", "bone")}, "classes: .* names one twice"),
        (SegmentSettings, {"spacing_mm": (1.0, 0.0, 1.0)}, "spacing_mm: every value must be above 0"),
        (SegmentSettings, {"roi_size": (8, 8, 0)}, "roi_size: every size must be at least 1"),
        (SegmentSettings, {"feature_size": 0}, "feature_size: "),
        (SegmentSettings, {"encoder_lr": 0.0}, "encoder_lr: "),
        (SegmentSettings, {"overlap": 1.0}, r"overlap: 1.0 is outside \[0, 1\)"),
        (SegmentSettings, {"flip": 1.5}, r"flip: 1.5 is outside \[0, 1\]"),
        (SegmentSettings, {"intensity_probability": -0.1}, r"intensity_probability: -0.1 is outside \[0, 1\]"),
        (SegmentSettings, {"intensity_scale": -0.1}, "intensity_scale: -0.1 is below 0"),
        (SegmentSettings, {"intensity_shift": -0.1}, "intensity_shift: -0.1 is below 0"),
        (
            SegmentSettings,
            {"dice_smoothing": (0.0, 0.0)},
            r"dice_smoothing: \[0.0, 0.0\] is not a number from 0 on and ",
        ),
        (SegmentSettings, {"dice_smoothing": (-1.0, 1.0)}, r"dice_smoothing: \[-1.0, 1.0\]"),
        (ZeroShotSettings, {"prompts": " "}, "prompts: is empty"),
        (ZeroShotSettings, {"sentences": 0}, "sentences: 0 is below 1"),
        (ZeroShotSettings, {"threshold_studies": -1}, "threshold_studies: -1 is below 0"),
        (RetrievalSettings, {"top": ()}, r"top: \[\] are not one or more different numbers from 1 on"),
        (RetrievalSettings, {"top": (5, 0)}, r"top: \[5, 0\] are not"),
        (RetrievalSettings, {"top": (5, 5)}, r"top: \[5, 5\] are not"),
        (GroundingSettings, {"pictures": -1}, "pictures: -1 is below 0"),
    ],
)
def test_an_impossible_value_is_refused_by_its_key(section: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        section(**values)


def test_values_at_the_ends_are_taken() -> None:
    assert LabelSettings(percent=100.0).percent == 100
    assert FinetuneSettings(steps=0, layer_decay=1.0).steps == 0
    assert SegmentSettings(overlap=0.0).overlap == 0
    assert GroundingSettings(pictures=0).pictures == 0


def test_the_protocol_of_retrieval_decides_what_is_not_said() -> None:
    assert (RetrievalSettings().takes_distinct, RetrievalSettings().counts) == (False, (1, 5, 10))
    published = RetrievalSettings(protocol="published")
    assert (published.takes_distinct, published.counts) == (True, (5, 10, 50, 100))
    own = RetrievalSettings(protocol="published", distinct=False, top=(7, 3))
    assert (own.takes_distinct, own.counts) == (False, (3, 7))
