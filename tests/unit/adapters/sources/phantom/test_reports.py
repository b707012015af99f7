"""Sentences of phantom reports."""

import numpy as np

from simcrop.adapters.sources.phantom.phrases import NO_FINDINGS
from simcrop.adapters.sources.phantom.reports import (
    MAX_SENTENCES,
    MIN_SENTENCES,
    write_findings,
    write_impression,
)
from simcrop.adapters.sources.phantom.sites import Lesion

NODULE = Lesion("Lung nodule", "solid", "left", "left_upper", "the left upper lobe", 9.5, (0, 0, 0), 40.0, 1)


def test_a_sentence_is_its_form_with_place_and_size_filled_in() -> None:
    sentences = write_findings((NODULE,), np.random.default_rng(0))
    [nodule] = [sentence for sentence in sentences if sentence.present]
    assert (nodule.finding, nodule.place) == ("Lung nodule", 0)
    assert nodule.text == nodule.form.format(place=NODULE.place, Place="The left upper lobe", size="9.5")
    assert MIN_SENTENCES <= len(sentences) <= MAX_SENTENCES


def test_what_a_report_asserts_it_does_not_deny() -> None:
    for seed in range(40):
        sentences = write_findings((NODULE,), np.random.default_rng(seed))
        assert all(sentence.finding != "Lung nodule" for sentence in sentences if not sentence.present)


def test_an_impression_speaks_of_what_was_found_or_of_nothing() -> None:
    generator = np.random.default_rng(0)
    found = {write_impression((NODULE,), generator) for _ in range(60)}
    assert "Not given." in found
    assert len(found) > 1
    assert {write_impression((), generator) for _ in range(60)} == {"Not given.", *NO_FINDINGS}
