"""Encodings: what a text is read as, and what is refused because its letters do not tell."""

from pathlib import Path

import pytest

from simcrop.adapters.formats.text_encoding import find_encoding
from simcrop.core.data.problems import BadFileError, Problem

HEADER = "volume,findings,impression\na.nii.gz,"
REPORTS = {
    "Turkish": ("cp1254", "Sağ akciğerde 3 mm nodül. Efüzyon yok."),
    "German": ("cp1252", "Kein Pleuraerguss. Rundherd in der rechten Lunge, Größe 5 mm, unverändert."),
    "French": ("cp1252", "Pas d'épanchement pleural. Nodule du lobe supérieur droit évalué à 5 mm."),
    "Portuguese": ("cp1252", "Não há derrame pleural. Nódulo no lobo superior direito, sem alterações."),
    "Icelandic": ("cp1252", "Enginn vökvi í fleiðru. Hnútur í hægra efra blaði, þvermál 5 mm."),
    "Polish": ("cp1250", "Płyn w prawej jamie opłucnej. Guzek w górnym płacie. Bez powiększonych węzłów."),
    "Czech": ("cp1250", "Bez výpotku. Uzlík v pravém horním laloku, velikost 5 mm. Žádné zvětšené uzliny."),
    "Hungarian": ("cp1250", "Mellkasi folyadék nem látható. A jobb felső lebenyben 5 mm-es göb, szűk hörgők."),
    "Lithuanian": ("cp1257", "Skysčio pleuros ertmėse nėra. Mazgelis dešinio plaučio viršutinėje skiltyje."),
    "Russian": ("cp1251", "Жидкости в плевральных полостях нет. Очаг в верхней доле правого легкого 5 мм."),
    "Greek": ("cp1253", "Δεν υπάρχει πλευριτική συλλογή. Όζος στον δεξιό άνω λοβό."),
    "Hebrew": ("cp1255", "אין תפליט פלאורלי. קשרית באונה העליונה הימנית."),
    "Arabic": ("cp1256", "لا يوجد انصباب جنبي. عقدة في الفص العلوي الأيمن بقياس 5 مم."),
    "Thai": ("cp874", "ไม่พบน้ำในช่องเยื่อหุ้มปอด พบก้อนขนาด 5 มม. ที่ปอดขวากลีบบน"),
    "Chinese": ("gb18030", "右肺上叶见结节，直径约5毫米。未见胸腔积液。"),
    "Chinese of Taiwan": ("big5", "右上肺葉可見結節，直徑約五毫米。未見胸腔積液。"),
    "Japanese": ("cp932", "右上葉に5mmの結節を認めます。胸水は認めません。"),
    "Korean": ("cp949", "우상엽에 5mm 결절이 있다. 흉수는 없다."),
    "English with symbols": ("cp1252", "The patient’s lungs are clear – no effusion. 5 µm, 10°, 3 × 4 mm, ±2."),
}

GERMAN = "Kein Erguss. Rundherd \u00fcber dem Zwerchfell, Gr\u00f6\u00dfe unver\u00e4ndert."


def encoding_of(path: Path, data: bytes) -> tuple[str, list[Problem]]:
    path.write_bytes(data)
    told: list[Problem] = []
    return find_encoding(path, told.append), told


@pytest.mark.parametrize("language", list(REPORTS))
def test_a_code_page_is_found_by_its_letters_and_noted(tmp_path: Path, language: str) -> None:
    page, report = REPORTS[language]
    data = f"{HEADER}{report},\n".encode(page)
    found, (note,) = encoding_of(tmp_path / "a.csv", data)
    assert data.decode(found) == f"{HEADER}{report},\n"
    assert (note.code, note.severity, note.values["line"]) == ("text.encoding", "note", 2)


@pytest.mark.parametrize(
    ("page", "phrase"),
    [("cp1252", "Kein Pleuraerguß."), ("cp1254", "Plevral sıvı yok."), ("cp1252", "Inga förstorade körtlar.")],
)
def test_a_phrase_that_comes_in_every_report_is_counted_once_where_nothing_else_tells(
    tmp_path: Path, page: str, phrase: str
) -> None:
    text = HEADER + f"{phrase},\n" * 40
    assert text.encode(page).decode(encoding_of(tmp_path / "a.csv", text.encode(page))[0]) == text


def test_chinese_may_have_signs_and_names_beyond_the_old_standard(tmp_path: Path) -> None:
    text = (
        f"{HEADER}双肺透亮度良好，右肺下叶见约5㎜小结节，边缘清晰。纵隔淋巴结无肿大。朱镕囧，心影不大，胸腔无积液①。,\n"
    )
    for page in ("gbk", "gb18030"):
        found, (note,) = encoding_of(tmp_path / "a.csv", text.encode(page))
        assert (text.encode(page).decode(found), note.code) == (text, "text.encoding")


@pytest.mark.parametrize("name", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_is_read_without_a_word(tmp_path: Path, name: str) -> None:
    text = f"{HEADER}Sağ akciğerde nodül. Größe.,\n" * 3
    data = text.encode(name)
    found, told = encoding_of(tmp_path / "a.csv", data)
    assert (data.decode(found), told) == (text, [])


@pytest.mark.parametrize(
    ("text", "page", "words"),
    [
        ("tr\u00e8s", "cp1252", r"may be cp1252 \(French: 'très'\) or cp1250 \(Czech: 'trčs'\)"),
        ("\u0111ak", "cp1250", "cp1252 \\(Icelandic: '\u00f0ak'\\) or cp1250"),
        (GERMAN, "cp437", "in no encoding that its letters tell"),
        (GERMAN, "mac_roman", "in no encoding that its letters tell"),
    ],
)
def test_what_the_letters_do_not_tell_is_refused_by_its_line(tmp_path: Path, text: str, page: str, words: str) -> None:
    with pytest.raises(BadFileError, match=f"from line 2 on, and .*({words})") as refused:
        encoding_of(tmp_path / "a.csv", f"{HEADER}{text},\n".encode(page))
    assert refused.value.problem.code == "text.encoding"


def test_utf8_with_a_damaged_byte_is_no_code_page(tmp_path: Path) -> None:
    data = f"{HEADER}Sağ akciğerde nodül, değil.,\n".encode()
    place = data.index("ğ".encode()) + 1
    assert encoding_of(tmp_path / "a.csv", data[:place] + b"x" + data[place + 1 :]) == ("utf-8", [])
    assert encoding_of(tmp_path / "a.csv", data[: data.rindex("ğ".encode()) + 1]) == ("utf-8", [])
