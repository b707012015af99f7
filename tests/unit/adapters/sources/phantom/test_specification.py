"""Phantom studies, drawn many times without painting any."""

import re
from collections import Counter

import pytest

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.adapters.sources.phantom.findings import FOCAL
from simcrop.adapters.sources.phantom.reports import (
    forms,
)
from simcrop.adapters.sources.phantom.specification import StudySpec, plan, sample_study
from simcrop.core.reports.text import clean, split_sentences

NUM_STUDIES = 600
IN_PLANE_MM, TWO_VOXELS_MM = 3.5, 14.0


@pytest.fixture(scope="module")
def studies() -> list[StudySpec]:
    return [sample_study(slot, seed=7) for slot in plan(NUM_STUDIES, 7, 0.3)]


def test_no_finding_is_in_more_than_two_fifths_or_less_than_a_twentieth_of_studies(studies: list[StudySpec]) -> None:
    counts = Counter(label for study in studies for label, value in study.labels.items() if value)
    shares = {label: counts[label] / NUM_STUDIES for label in LABELS}
    assert len(shares) == 18
    assert max(shares.values()) <= 0.40
    assert min(shares.values()) >= 0.05


def test_a_third_of_focal_lesions_are_small(studies: list[StudySpec]) -> None:
    sizes = [lesion.size_mm for study in studies for lesion in study.lesions if lesion.finding in FOCAL]
    limit = max(15.0, TWO_VOXELS_MM)
    assert sum(size < limit for size in sizes) / len(sizes) >= 1 / 3
    assert max(sizes) > 40


def test_findings_do_not_give_each_other_away(studies: list[StudySpec]) -> None:
    for first in LABELS:
        with_first = [study for study in studies if study.labels[first]]
        for second in set(LABELS) - {first}:
            share = sum(study.labels[second] for study in with_first) / len(with_first)
            assert share < 0.62, (first, second, share)


def test_reports_have_six_to_twenty_sentences_about_half_of_them_normal(studies: list[StudySpec]) -> None:
    lengths = [len(study.sentences) for study in studies]
    assert min(lengths) >= 6
    assert max(lengths) <= 20
    asserted = sum(sentence.present for study in studies for sentence in study.sentences)
    assert 0.35 <= asserted / sum(lengths) <= 0.6


def test_sentences_come_back_from_the_splitter_exactly(studies: list[StudySpec]) -> None:
    for study in studies:
        assert split_sentences(clean(study.findings_text)) == [sentence.text for sentence in study.sentences]


def test_a_sentence_names_the_side_of_its_lesion(studies: list[StudySpec]) -> None:
    for study in studies:
        for sentence in study.sentences:
            if sentence.present and isinstance(sentence.place, int):
                side = study.lesions[sentence.place].side
                if side in ("left", "right"):
                    other = {"left": "right", "right": "left"}[side]
                    words = sentence.text.lower().replace("right ventricle", "").replace("right atri", "")
                    assert side in words or study.lesions[sentence.place].finding == "Medical material", sentence
                    assert f" {other} " not in words, sentence


def test_a_report_does_not_deny_what_it_asserts(studies: list[StudySpec]) -> None:
    for study in studies:
        asserted = {sentence.finding for sentence in study.sentences if sentence.present}
        denied = {sentence.finding for sentence in study.sentences if not sentence.present} - {None}
        assert not asserted & denied
        assert asserted - {None} == {label for label, value in study.labels.items() if value}


def test_the_plan_splits_by_patient_and_some_patients_come_twice() -> None:
    slots = plan(400, 3, 0.25)
    assert len(slots) == 400
    held_out = sum(slot.split == "valid" for slot in slots) / len(slots)
    assert held_out == pytest.approx(0.25, abs=0.04)
    per_patient = Counter((slot.split, slot.patient) for slot in slots)
    assert set(per_patient.values()) == {1, 2}


def test_a_study_depends_on_its_index_and_seed_alone() -> None:
    few, many = plan(5, 1, 0.2), plan(50, 1, 0.2)
    assert sample_study(few[3], 1) == sample_study(many[3], 1)
    assert sample_study(few[3], 1) != sample_study(few[3], 2)


def test_there_are_at_least_sixty_forms_with_sides_and_decimals(studies: list[StudySpec]) -> None:
    assert len(set(forms())) >= 60
    used = {sentence.form for study in studies for sentence in study.sentences}
    assert len(used) >= 60
    text = " ".join(study.findings_text for study in studies)
    assert re.search(r"\d+\.\d mm", text)
    assert "left" in text
    assert "right" in text
