"""The sentences of the `paper` recipe in ten texts, worked out by hand from docs/method.md, section 8.

A full stop ends a sentence unless a one-digit token stands on either side, and what follows the last of them is none.
"""

from itertools import pairwise

import pytest

from simcrop.adapters.text.tokenizer import HFTokenizer, train_tokenizer
from simcrop.core.data.study import Report
from simcrop.core.recipe import PAPER, TextEncoderRecipe
from simcrop.core.reports.reader import ReportReader

TEXTS = {
    # Words behind the last stop belong to none.
    "The heart is normal. No nodule.  Lungs are clear": ["The heart is normal.", "No nodule."],
    # 12 is a number of two digits, 3 and 5 of one.
    "A nodule of 12 mm. Of grade 3. It is 5 . Small.": ["A nodule of 12 mm.", "Of grade 3. It is 5 . Small."],
    "It measures 12. Next.": ["It measures 12.", "Next."],
    # A number with a point, a list, and a year.
    "1. Mass of 3.5 cm. 2. Seen in 2019. 3 cysts. 40 more.": [
        "1. Mass of 3.5 cm. 2. Seen in 2019. 3 cysts.",
        "40 more.",
    ],
    # A digit that ends a word is a token of its own.
    "Lesion in T4. In Th12. In L1-5. End.": ["Lesion in T4. In Th12.", "In L1-5. End."],
    # Every stop of an abbreviation ends one.
    "Sequelae, e.g. bands. Dr. Smith.": ["Sequelae, e.", "g.", "bands.", "Dr.", "Smith."],
    # "?" goes, colons and semicolons become commas, and none of them ends anything.
    "Lungs: clear; no mass? Pleura: thick?. End!": ["Lungs, clear, no mass Pleura, thick."],
    # A stop that touches another sign ends none, but for parentheses.
    "Stenosis of 50%. Wide (see below). Or (above.) And so... on.": [
        "Stenosis of 50%. Wide (see below).",
        "Or (above.",
        ") And so... on.",
    ],
    # A filler stays; a line is no end.
    "Not given.\nHeart\nis normal.": ["Not given.", "Heart is normal."],
    "Normal.Clear lungs.": ["Normal.", "Clear lungs."],
}


@pytest.fixture(scope="module")
def tokenizer() -> HFTokenizer:
    """Of whole words and numbers, as that of a language model has them."""
    return train_tokenizer([*TEXTS] * 3, vocab_size=1000, max_tokens=512)


@pytest.fixture(scope="module")
def reader(tokenizer: HFTokenizer) -> ReportReader:
    return ReportReader.of(tokenizer, TextEncoderRecipe(max_tokens=512, **PAPER["text_encoder"]))


@pytest.mark.parametrize("text", TEXTS)
def test_sentences_by_hand(reader: ReportReader, text: str) -> None:
    assert len(TEXTS) == 10
    findings = reader.findings(Report(text, "An impression."))
    assert list(findings.texts) == TEXTS[text]
    assert findings.numbers == tuple(range(len(TEXTS[text])))
    assert reader.sentences(text) == TEXTS[text]


@pytest.mark.parametrize("text", TEXTS)
def test_every_token_up_to_the_last_end_is_of_the_sentence_that_it_stands_in(
    reader: ReportReader, tokenizer: HFTokenizer, text: str
) -> None:
    encoding = reader.findings(Report(text, "")).encoding
    words = [tokenizer.tokens(sentence)[0] for sentence in TEXTS[text]]
    assert encoding.ids[0] == tokenizer.cls_id
    assert tokenizer.sep_id not in encoding.ids
    assert encoding.sentence_of_token[0] == -1
    start = 1
    for number, ids in enumerate(words):
        assert list(encoding.ids[start : start + len(ids)]) == list(ids)
        assert set(encoding.sentence_of_token[start : start + len(ids)]) == {number}
        start += len(ids)
    assert set(encoding.sentence_of_token[start:]) <= {-1}


@pytest.mark.parametrize(
    ("findings", "impression", "joint"),
    [
        ("Heart is normal.", "Well?", "Heart is normal.Well"),
        ("Heart is normal.", "Not given.", "Heart is normal."),
        ("Heart is normal.", "Nodule. Not given", "Heart is normal."),
        ("Not given.", "Clear lungs.", "Not given.Clear lungs."),
        ("Not given.", "Not given.", "Not given."),
        ("Not given.", "", "Not given."),
        ("", "", ""),
    ],
)
def test_a_report_is_findings_and_impression_without_a_space(
    reader: ReportReader, tokenizer: HFTokenizer, findings: str, impression: str, joint: str
) -> None:
    report = Report(findings, impression)
    encoding = reader.whole(report, reader.findings(report))
    assert encoding.ids == (tokenizer.cls_id, *tokenizer.tokens(joint)[0])
    assert set(encoding.sentence_of_token[1:]) <= {0}, "all are words, which masking tells from the class token"


def test_tokens_are_cut_wherever_the_limit_is(tokenizer: HFTokenizer) -> None:
    text = "The heart is normal. No nodule. Lungs are clear. Words that end nothing"
    ids, report = tokenizer.tokens(text)[0], Report(text, text)
    ends = [number for number, (start, end) in enumerate(tokenizer.tokens(text)[1]) if text[start:end] == "."]
    for limit in range(8, len(ids) + 4):
        reader = ReportReader(tokenizer, limit, "published", separator=False)
        findings = reader.findings(report)
        assert findings.encoding.ids == (tokenizer.cls_id, *ids[: limit - 1])
        # A stop ends a sentence where a token more, which may be padding, is within the limit.
        whole = [end for end in ends if 1 + end + 1 < limit]
        assert findings.numbers == tuple(range(len(whole)))
        assert len(findings.texts) == 3
        assert [findings.encoding.sentence_of_token.count(number) for number in findings.numbers] == [
            end - before for before, end in pairwise([-1, *whole])
        ]
        was_cut = len(ids) > limit - 1
        assert findings.encoding.num_cut == max(3 - len(whole), int(was_cut))
        assert len(reader.whole(report, findings).ids) == min(limit, 1 + len(tokenizer.tokens(text + text)[0]))
