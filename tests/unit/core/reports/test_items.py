"""Numbered findings in running text, and semicolons for stops."""

import pytest

from simcrop.core.reports.items import clauses, numbered


@pytest.mark.parametrize(
    "parts",
    [
        ["1) Lungs clear ", "2) heart normal ", "3) no effusion"],
        ["(1) Lungs clear ", "(2) Heart normal"],
        ["1. Lungs clear ", "2. Heart normal"],
        ["FINDINGS: ", "1. Lungs clear ", "2. Heart normal"],
        ["1.Lungs clear ", "2.Heart normal"],
        ["1、双肺清晰 ", "2、心脏正常"],
        ["1) Lungs clear ", "2) 4.5 mm nodule ", "3) no effusion"],
        ["1. Lungs clear 2. 5 mm"],
        ["1)2) none"],
        ["①双肺清晰", "②心脏正常"],
        ["Fracture of the 1. and 2. ribs"],
        ["Die 1. Rippe und die 2. Rippe"],
        ["1. Rib and 2. Rib"],
        ["Nodules (segments 1) and 2) x"],
        ["In 1) a nodule"],
        ["It is 2.1)Lungs 2) Heart"],
    ],
)
def test_a_list_that_counts_from_1_is_divided(parts: list[str]) -> None:
    assert [part for part in numbered("".join(parts)) if part] == parts


@pytest.mark.parametrize(
    "parts",
    [
        ["no nodule; ", "heart normal; ", "no effusion"],
        ["no nodule; ", "heart normal"],
        ["no nodule;", "heart normal"],
        ["no nodule; ", "heart normal; ", "no effusion."],
        ["Clear; ", "normal heart; ", "no nodule; ", "no effusion."],
        ["双肺清晰；", "心脏正常；", "无积液。"],
        ["الرئتان صافيتان؛ ", "القلب طبيعي؛ ", "لا انصباب."],
        ["When seen in the lung window; Aeration is normal."],
        ["As far as seen; the heart is normal; the lungs are clear."],
        ["Nodules (series 3; image 20; slice 5)"],
        ["Nodules of 5; 6 and 7 mm"],
        ["A trailing one;"],
    ],
)
def test_semicolons_for_stops_divide(parts: list[str]) -> None:
    assert list(clauses("".join(parts))) == parts
