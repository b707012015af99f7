"""Reports in scripts without capitals, in small letters, one finding a line: checked and trained on as sentences."""

import json
from pathlib import Path

import pytest
from support.data_folders import chest, write_table, write_volume
from support.tiny_data import CONFIG, write_studies

from simcrop_cli.__main__ import main

UNSPLIT = {
    "Chinese": "双肺透亮度良好。右肺下叶见{}mm小结节。心脏大小正常。无胸腔积液。",
    "Japanese": "両肺野は清明です。右下葉に{}mmの結節があります。心臓は正常大です。胸水はありません。",
    "Korean": "폐는 깨끗함. 우하엽에 {} mm 결절 있음. 심장 크기 정상. 흉수 없음.",
    "Arabic": "الرئتان صافيتان. عقيدة {} مم في الفص السفلي الأيمن. حجم القلب طبيعي. لا انصباب.",
    "Hindi": "दोनों फेफड़े साफ हैं। दाएं निचले लोब में {} मिमी की गांठ है। हृदय सामान्य है। द्रव नहीं है।",
    "small letters": "lungs are clear. a {} mm nodule lies in the right lower lobe. the heart is normal. no effusion.",
    "one a line": "Airways: open\nLungs: {} mm nodule in the right lower lobe\nHeart: normal\nPleura: no effusion",
    "no space": "Lungs are clear.A {} mm nodule lies in the right lower lobe.The heart is normal.No effusion.",
    "spreadsheet": "Lungs are clear.~\nA {} mm nodule.~\nThe heart is normal.~\nNo effusion.~".replace("~", "_x000D_"),
    "semicolons": "no consolidation; {} mm nodule in the right lower lobe; normal heart; no effusion",
    # More of the kind.
    "Hebrew": 'הריאות נקיות. קשרית {} מ"מ באונה הימנית. הלב תקין. אין תפליט.',
    "Thai": "ปอดทั้งสองข้างปกติ พบก้อนขนาด {} มม. ที่ปอดขวา หัวใจขนาดปกติ ไม่พบน้ำในช่องเยื่อหุ้มปอด",
    "Georgian": "ფილტვები სუფთაა. მარჯვნივ {} მმ კვანძია. გული ნორმალურია. სითხე არ არის.",
    "Urdu": "پھیپھڑے صاف ہیں۔ دائیں جانب {} ملی میٹر کی گلٹی ہے۔ دل نارمل ہے۔ پانی نہیں ہے۔",
    "page": "<p>Lungs are clear</p><p>A {} mm nodule</p>The heart is normal<br/>No effusion",
    "message": r"Lungs are clear\.br\A {} mm nodule in the right lower lobe\.br\Heart normal\.br\No effusion",
    "numbers": "1) lungs clear 2) {} mm nodule in the right lower lobe 3) normal heart 4) no effusion",
    "bullets": "-lungs clear\n-{} mm nodule, e.g. granuloma\n-normal heart\n-no effusion",
    "capitals": "LUNGS CLEAR.A {} MM NODULE, APPROX. ROUND.NORMAL HEART.NO EFFUSION.",
    "full-width semicolons": "双肺清晰；右肺见{}mm小结节；心脏正常；无积液。",
}
"""Name -> findings of four sentences, with a place for a size."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two volumes and a configuration; reports are written by `write_reports`."""
    folder = tmp_path_factory.mktemp("unsplit")
    for number in range(2):
        write_volume(folder / f"{number}.nii.gz", chest(number))
    (folder / "run.yaml").write_text(
        f"data: {{source: manifest, manifest: {folder / 'reports.csv'}, prepared: {folder / 'prepared'}}}\n"
    )
    return folder


def checked(folder: Path, findings: str) -> tuple[int, list[str]]:
    """Status and codes of `simcrop data check`."""
    sizes = ("4.5", "12")
    write_table(
        folder / "reports.csv",
        [
            {"volume": f"{number}.nii.gz", "findings": findings.format(size), "impression": ""}
            for number, size in enumerate(sizes)
        ],
    )
    report = folder / "problems.jsonl"
    status = main(["data", "check", str(folder / "run.yaml"), "--report", str(report), "--workers", "1"])
    return status, [json.loads(line)["code"] for line in report.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", UNSPLIT)
def test_four_sentences_are_four_sentences(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, codes = checked(folder, UNSPLIT[name])
    assert status == 0
    assert "text.one_sentence" not in codes
    assert "reports: 4.0 sentences each on average\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "findings", ["lungs clear, {} mm nodule, " + "no effusion, " * 12, "右肺{}mm结节，无积液，" * 6]
)
def test_what_cannot_be_told_apart_is_noted(folder: Path, findings: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, codes = checked(folder, findings.replace("{}", "5"))
    assert status == 0
    assert codes.count("text.one_sentence") == 2
    assert "reports: 1.0 sentences each on average\n" in capsys.readouterr().out


def test_a_run_on_chinese_reports_tells_their_sentences_and_matches_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = write_studies(tmp_path / "studies")
    texts = [UNSPLIT["Chinese"].format(number) for number in range(8)]
    table = [{"volume": f"{number}.nii.gz", "findings": text, "impression": ""} for number, text in enumerate(texts)]
    write_table(manifest, table)
    config = tmp_path / "run.yaml"
    config.write_text(CONFIG.format(manifest=manifest, prepared=tmp_path / "prepared"))
    caplog.set_level("INFO", "simcrop")
    keys = {"steps": 2, "evaluate_every": 2, "checkpoint_every": 2, "warmup_steps": 1}
    options = [part for key, value in keys.items() for part in ("--set", f"train.{key}={value}")]
    assert main(["train", str(config), "--out", str(tmp_path / "run"), *options]) == 0
    assert "reports: 4.0 sentences each on average" in caplog.text
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["loss_alignment"] > 0 for row in rows] == [True, True]
