"""Sentences that assert and deny findings: built in, and how reports' sentences are told apart."""

import pytest

from simcrop.adapters.sources.label_tables import LABELS
from simcrop.core.reports.prompts import (
    WORDS,
    PromptTexts,
    denies,
    normal_findings,
    speaks_of,
    templates,
    words_of,
)


def test_every_label_of_ct_rate_has_words_and_its_own_sentences() -> None:
    assert set(WORDS) == set(LABELS)
    for finding in LABELS:
        texts, speaks = templates(finding), speaks_of(words_of(finding).terms)
        assert not any(denies(text) for text in texts.present)
        assert all(denies(text) for text in texts.absent)
        assert len(texts.present) == len(texts.absent) == 6
        if finding != "Medical material":  # its name is none of the things that it stands for
            assert any(speaks(text) for text in texts.present)
            assert any(speaks(text) for text in texts.absent)


def test_another_label_is_spoken_of_by_its_own_name() -> None:
    assert templates("breast_implant") == PromptTexts(
        ("Breast implant is seen.", "There is breast implant.", "Breast implant is observed."),
        ("No breast implant is seen.", "There is no breast implant.", "Breast implant was not observed."),
    )
    speaks = speaks_of(words_of("Rib fracture").terms)
    assert speaks("Fractures of two ribs.")
    assert not speaks("A fracture of the sternum.")


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        ("Pleural effusion", "Free fluid in both pleural spaces."),
        ("Pleural effusion", "No pleural or pericardial effusion was detected."),
        ("Pericardial effusion", "No pleural or pericardial effusion was detected."),
        ("Lung nodule", "Millimetric NODULES in both lungs."),
        ("Lymphadenopathy", "Lymph nodes of 9 mm are seen."),
    ],
)
def test_a_sentence_is_recognised_by_the_beginnings_of_its_words(finding: str, sentence: str) -> None:
    assert speaks_of(WORDS[finding].terms)(sentence)


@pytest.mark.parametrize(
    ("finding", "sentence"),
    [
        ("Pleural effusion", "Pericardial effusion of 5 mm."),
        ("Coronary artery wall calcification", "Calcifications in the wall of the aorta."),
        ("Arterial wall calcification", "The coronary arteries are calcified."),
        ("Lung nodule", "Multinodular goitre."),
    ],
)
def test_a_sentence_of_something_else_is_not(finding: str, sentence: str) -> None:
    assert not speaks_of(WORDS[finding].terms)(sentence)


@pytest.mark.parametrize(
    "sentence", ["No nodule.", "Nodules were not seen.", "The lungs are free of nodules.", "NORMAL."]
)
def test_denials_are_told(sentence: str) -> None:
    assert denies(sentence)


@pytest.mark.parametrize("sentence", ["A nodule.", "A notable nodule.", "Abnormal nodes.", "Nodular lesion."])
def test_words_that_only_look_like_a_denial_are_none(sentence: str) -> None:
    assert not denies(sentence)


@pytest.mark.parametrize(
    ("term", "sentence", "other"),
    [
        ("结节", "右肺下叶见5mm小结节。", "胸腔积液。"),
        ("結節", "右下葉に結節があります。", "胸水あり。"),
        ("결절", "폐결절 있음.", "흉수 있음."),
        ("عقيدة", "توجد العقيدة في الفص الأيمن.", "انصباب جنبي."),
        ("קשרית", "הקשרית באונה הימנית.", "תפליט פלאורלי."),
        ("गांठ", "दाएं लोब में गांठ है।", "द्रव है।"),
        ("ก้อน", "พบก้อนที่ปอด", "พบน้ำในช่องเยื่อหุ้มปอด"),
        ("rundherd", "Rundherde beidseits.", "Pleuraerguss."),
        ("очаг", "Очаги в лёгких.", "Выпот."),
    ],
)
def test_terms_are_found_in_every_script(term: str, sentence: str, other: str) -> None:
    speaks = speaks_of([term])
    assert speaks(sentence)
    assert not speaks(other)


DENIALS = """
    Kein Nachweis eines Rundherds.|Pas de nodule.|Sin nódulos.|Non si osservano noduli.|Não há nódulos.|Geen nodus.
    Nodül saptanmadı.|Bez guzków.|Очагов нет.|Δεν υπάρχει όζος.|未见结节。|結節はありません。|결절 없음.|لا توجد عقيدات.
    אין קשריות.|कोई गांठ नहीं है।|ไม่พบก้อน|კვანძი არ არის.|Lungenparenchym unauffällig.|心脏大小正常。
"""
ASSERTIONS = """
    Rundherd im Oberlappen.|Nodule du lobe supérieur.|Nódulo en el lóbulo.|Nodulo nel lobo.|Nódulo no lobo.|Nodus links.
    Nodül izlenmektedir.|Guzek w płacie.|Очаг справа.|Όζος δεξιά.|右肺小结节。|肺不张。|結節が少ない。|無気肺を認める。
    결절 있음.|توجد عقيدة.|קשרית באונה.|गांठ है।|हृदय असामान्य है।|พบก้อน|หัวใจผิดปกติ|კვანძია.|Non-calcified nodule.
"""


def each(table: str) -> list[str]:
    return [sentence.strip() for line in table.strip().splitlines() for sentence in line.split("|")]


@pytest.mark.parametrize("sentence", each(DENIALS))
def test_denials_of_other_languages_are_told(sentence: str) -> None:
    assert denies(sentence)


@pytest.mark.parametrize("sentence", each(ASSERTIONS))
def test_assertions_of_other_languages_are_told(sentence: str) -> None:
    assert not denies(sentence)


def test_the_built_in_findings_deny_all() -> None:
    findings = normal_findings()
    assert len(findings) == len(LABELS)
    assert all(denies(sentence) for sentence in findings)
