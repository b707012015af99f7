"""Reports divided into sentences and encoded, once."""

from support.held_out_fakes import WordTokenizer

from simcrop.adapters.text.tokenizer import train_tokenizer
from simcrop.core.data.study import Report
from simcrop.core.recipe import TextEncoderRecipe
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


def test_a_reader_is_made_for_a_text_encoder() -> None:
    tokenizer = WordTokenizer()
    assert ReportReader.of(tokenizer, TextEncoderRecipe(max_tokens=9)) == ReportReader(tokenizer, 9, "simcrop", True)
    recipe = TextEncoderRecipe(sentence_rule="published", separator=False)
    assert ReportReader.of(tokenizer, recipe) == ReportReader(tokenizer, 256, "published", False)


def test_sentences_are_those_of_the_findings() -> None:
    reader = ReportReader(WordTokenizer(), 9)
    assert tuple(reader.sentences(REPORT.findings)) == reader.findings(REPORT).texts


def test_given_sentences_are_worded_as_in_training() -> None:
    given = ["Is there a nodule?", "Pleura: thick; calcified."]
    tokenizer = train_tokenizer(given, vocab_size=200, max_tokens=64)
    found = ReportReader(tokenizer, 64, "published", separator=False).read(given)
    assert found.texts == tuple(given)
    wording = ["Is there a nodule", "Pleura, thick, calcified."]
    assert found.encoding == tokenizer.encode(wording, max_tokens=64, separator=False)
    assert ReportReader(tokenizer, 64).read(given).encoding == tokenizer.encode(given, max_tokens=64)
