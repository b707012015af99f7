"""Reports divided into sentences and encoded, once."""

from support.held_out_fakes import WordTokenizer

from simcrop.core.data.study import Report
from simcrop.core.reports.reader import ReportReader
from simcrop.core.reports.text import sentence_key

REPORT = Report("The heart is normal. No nodule.  NO  nodule. Lungs are clear.", "All is well.")


def test_findings_carry_texts_keys_and_tokens() -> None:
    findings = ReportReader(WordTokenizer(), 64).findings(REPORT)
    assert findings.texts == ("The heart is normal.", "No nodule.", "NO nodule.", "Lungs are clear.")
    assert findings.keys == tuple(map(sentence_key, findings.texts))
    assert findings.keys[1] == findings.keys[2]
    assert findings.encoding.sentence_of_token == (-1, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 3, -1)
    assert findings.numbers == (0, 1, 2, 3)


def test_sentences_beyond_the_limit_have_texts_and_keys_and_no_token() -> None:
    findings = ReportReader(WordTokenizer(), 9).findings(REPORT)
    assert (len(findings.texts), len(findings.keys), findings.encoding.num_cut) == (4, 4, 2)
    assert findings.numbers == (0, 1)


def test_the_whole_report_is_the_findings_and_the_impression() -> None:
    reader = ReportReader(WordTokenizer(), 64)
    findings = reader.findings(REPORT)
    assert reader.whole(REPORT, findings) == reader.read([*findings.texts, "All is well."]).encoding


def test_a_filler_has_no_sentence() -> None:
    findings = ReportReader(WordTokenizer(), 64).findings(Report("Not given.", ""))
    assert (findings.texts, findings.keys, findings.numbers) == ((), (), ())
