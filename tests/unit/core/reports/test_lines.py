"""Line breaks that end a finding, and those that wrap."""

import textwrap

import pytest

from simcrop.core.reports.lines import MARK, paragraphs, without_marks

PROSE = (
    "There is a 5 mm nodule in the right upper lobe which is unchanged from the prior examination of March. There is "
    "mild atelectasis at the bases of both lungs, more on the left, without consolidation or effusion on either side"
)


@pytest.mark.parametrize("width", [50, 64, 72, 80])
@pytest.mark.parametrize("text", [PROSE, PROSE.lower()])
def test_wrapped_prose_is_one_part(text: str, width: int) -> None:
    assert paragraphs(textwrap.fill(text, width)) == [text]


def test_wrapped_german_is_one_part_though_its_nouns_have_capitals() -> None:
    text = (
        "Im rechten Unterlappen zeigt sich ein etwa 5 mm großer, glatt begrenzter Rundherd mit zentraler Verkalkung "
        "bei sonst unauffälligem Parenchym und regelrechter Belüftung beider Lungen"
    )
    assert paragraphs(textwrap.fill(text, 74)) == [text]


@pytest.mark.parametrize(
    "lines",
    [
        ["Airways: open", "Lungs: a nodule in the right lower lobe", "Heart: normal"],
        ["lungs clear", "heart normal", "no effusion"],
        ["Lungs clear", "heart normal", "no effusion"],
        ["lungs: clear", "pleura: no effusion"],
        ["Lungs clear", "No effusion"],
        ["lungs clear,", "heart normal,", "no effusion"],
        ["lungs clear;", "heart normal;", "no effusion"],
        ["Lungs are clear and well aerated on both sides without any focal lesion", "Heart normal", "No effusion"],
        ["心脏大小正常", "双肺透亮度良好，右肺下叶见小结节", "无胸腔积液"],
        ["폐는 깨끗함", "우하엽에 결절 있음", "흉수 없음"],
        ["ფილტვები სუფთაა", "გული ნორმალურია"],
        ["Keine Ergüsse bds.", "Geringgr. Emphysem in beiden Oberlappen."],
        ["Lungs clear", "- heart normal", "2) no effusion", "3.Normal bones", "• end", "④ spine"],
    ],
)
def test_one_finding_a_line_is_a_part_each(lines: list[str]) -> None:
    assert paragraphs("\n".join(lines)) == lines


@pytest.mark.parametrize(
    "text",
    [
        "A line that\ngoes on. Next.",
        "There is a nodule in the right\nlower lobe.",
        "in the right lobe,\nNew lesion",
        "A small pleu-\nral effusion",
        "small pleu-\nral rest",
    ],
)
def test_a_line_that_goes_on_is_joined(text: str) -> None:
    assert paragraphs(text) == [text.replace("\n", " ")]


def test_blank_lines_divide_whatever_stands_there() -> None:
    assert paragraphs("a line\n\nthat ends\n \nthrice") == ["a line", "that ends", "thrice"]


@pytest.mark.parametrize(
    "lines",
    [
        ["Lungs clear", "no effusion"],
        ["The heart is of normal size, with some calcium in the coronary arteries", "no effusion", "Liver normal"],
        ["Herz normal groß", "kein Erguss", "keine vergrößerten Lymphknoten"],
        ["Akciğerler doğal", "plevral efüzyon yok"],
        ["A nodule of 5 mm in the upper lobe of the right lung, which is unchanged", "lungs are otherwise clear"],
        ["Nodules:", "- 5 mm", "no others"],
    ],
)
def test_a_marked_break_is_meant_whatever_follows(lines: list[str]) -> None:
    assert paragraphs(without_marks(MARK.join(lines))) == lines


@pytest.mark.parametrize("width", [56, 64, 80])
@pytest.mark.parametrize("text", [PROSE, PROSE.lower()])
def test_a_program_that_marks_the_ends_of_wrapped_lines_is_found_out(text: str, width: int) -> None:
    assert paragraphs(without_marks(textwrap.fill(text, width).replace("\n", MARK))) == [text]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("liver, spleen,| kidneys normal", ["liver, spleen, kidneys normal"]),
        ("a nodule (5 mm,| new)|no effusion", ["a nodule (5 mm, new)", "no effusion"]),
        ("A nodule in the right\nlower lobe|no effusion", ["A nodule in the right lower lobe", "no effusion"]),
        ("A nodule in emphy-\nsema|no effusion", ["A nodule in emphy- sema", "no effusion"]),
        ("|lungs clear||no effusion|", ["", "lungs clear", "no effusion", ""]),
    ],
)
def test_a_marked_break_ends_no_line_that_goes_on(text: str, parts: list[str]) -> None:
    assert paragraphs(without_marks(text.replace("|", MARK))) == parts
