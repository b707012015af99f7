"""Tokens of reports in every script."""

from pathlib import Path

import pytest
from support.report_sentences import LANGUAGES, sentences

from simcrop.adapters.text.tokenizer import HFTokenizer, train_tokenizer


@pytest.mark.parametrize("language", LANGUAGES)
def test_reports_of_every_language_have_known_tokens_of_every_sentence(language: str, tmp_path: Path) -> None:
    texts = sentences(language)
    train_tokenizer([" ".join(texts)], vocab_size=400, max_tokens=64).save(tmp_path)
    tokenizer = HFTokenizer.load(tmp_path)
    coded = tokenizer.encode(texts, max_tokens=10_000)
    assert tokenizer.unk_id not in coded.ids
    assert sorted(set(coded.sentence_of_token)) == [-1, *range(len(texts))]


@pytest.mark.parametrize(("text", "other"), [("है", "ह"), ("ปอด้", "ปอด"), ("が", "か"), ("é", "e")])
def test_marks_stay_with_their_letters(text: str, other: str) -> None:
    tokenizer = train_tokenizer([f"{text} {other}"], vocab_size=100, max_tokens=64)
    assert tokenizer.encode([text], max_tokens=64).ids != tokenizer.encode([other], max_tokens=64).ids


def test_a_long_sentence_without_spaces_is_not_unknown(tmp_path: Path) -> None:
    text = "ไม่พบก้อนที่ปอด" * 20
    train_tokenizer([text], vocab_size=100, max_tokens=64).save(tmp_path)
    tokenizer = HFTokenizer.load(tmp_path)
    assert tokenizer.unk_id not in tokenizer.encode([text], max_tokens=10_000).ids
