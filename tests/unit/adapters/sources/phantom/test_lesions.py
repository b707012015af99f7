"""Every finding of CT-RATE has a painter."""

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.adapters.sources.phantom.lesions import PAINTERS


def test_there_is_a_painter_of_each_finding_and_of_nothing_else() -> None:
    assert set(PAINTERS) == set(LABELS)
    assert len(set(PAINTERS.values())) == len(LABELS)
