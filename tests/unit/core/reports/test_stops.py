"""Full stops that end a sentence, and those that do not."""

import pytest

from simcrop.core.reports.stops import ends_sentence, in_brackets

ENDS = """
    Lungs are clear|No effusion
    lungs are clear|no effusion
    It measures 1.5 x 2 cm|No effusion
    Seen in 2021|no change
    in segment no. 6|no effusion
    Grade 2|No effusion
    Herz o.B|Lunge frei
    Erguss bds|Kein Infiltrat
    Nodules, etc|No effusion
    Hepatitis B|The lungs
    LUNGS CLEAR|NO EFFUSION
    Lungs are clear|no effusion
    Findings: lungs are clear|heart normal
    Control in 3 mo|No effusion
    폐|정상
    مم|لا
    ปอดปกติ|หัวใจ
"""
GOES_ON = """
    The nodule is approx|five mm
    Rundherd z. B|ein Granulom
    Rundherd z|B. ein Granulom
    Rundherd, z.B|Granulom
    vgl. S|3
    No|5
    left 2|and 3. ribs
    left 2|Rib
    links der 5|Rippe
    am 3|Mai
    ribs 5-7|ribs
    12|5 mm
    1|Nodule
    Impression: 1|Normal
    (see above|no lesion
    NODULE OF APPROX|FIVE MM
    The xyz|aorta
    Nodule in seg|VI
    St. n|Sternotomie
    LEFT 2|AND 3. RIBS
    Erguss bds|Atelektasen
    мм, т.е|вероятно
    मि.मी|की
    ד|שרון
    มม|ที่ปอด
"""
STICK = """
    are clear|No effusion
    are clear|A nodule
    CLEAR|NO EFFUSION
    5 mm|No effusion
    of 12.03.2021|No change
    épanchement|L'aorte
    sono chiari|È presente
    lungs are clear|no effusion
    lobe|2 mm nodule
    صافيتان|عقيدة
    깨끗함|우하엽
    Durchmesser|Z. n. Fraktur
"""
STICKS = """
    Dr|Smith
    z|B
    e|g
    ca|5 mm
    Fig|3
    U.S|A
    1|双肺
    T2|N0
    www.clinic|Com
    scan|nii
    a@b|Clinic
    The apex|clear
    1|Nodule
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [(before, after) for before, after in (line.strip().split("|") for line in table.strip().splitlines())]


@pytest.mark.parametrize(("before", "after"), pairs(ENDS))
def test_a_stop_ends_a_sentence(before: str, after: str) -> None:
    assert ends_sentence(before, ".", after, is_spaced=True)


@pytest.mark.parametrize(("before", "after"), pairs(GOES_ON))
def test_a_stop_of_an_abbreviation_number_or_marker_does_not(before: str, after: str) -> None:
    assert not ends_sentence(before, ".", after, is_spaced=True)


@pytest.mark.parametrize(("before", "after"), pairs(STICK))
def test_a_stop_without_space_behind_it_ends_one_between_words(before: str, after: str) -> None:
    assert ends_sentence(before, ".", after, is_spaced=False)


@pytest.mark.parametrize(("before", "after"), pairs(STICKS))
def test_a_stop_inside_a_name_or_number_does_not(before: str, after: str) -> None:
    assert not ends_sentence(before, ".", after, is_spaced=False)


def test_other_marks_end_before_all_but_small_letters() -> None:
    for after, ends in (("No", True), ("5", True), ("无", True), ("no", False)):
        assert ends_sentence("a metastasis", "?", after, is_spaced=True) == ends
    assert ends_sentence("(see above", ".)", "no effusion", is_spaced=True)
    assert not ends_sentence("and so on", "...", "until", is_spaced=True)
    assert ends_sentence("a metastasis", "?", "No", is_spaced=False)


def test_brackets_are_open_until_they_are_closed() -> None:
    assert in_brackets("a (b")
    assert in_brackets("（a (b)")
    assert not in_brackets("a) (b) c")
