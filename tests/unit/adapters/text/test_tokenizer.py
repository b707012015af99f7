"""Tokens and the sentences they belong to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer

from simcrop.adapters.text.tokenizer import HFTokenizer, train_tokenizer
from simcrop.core.errors import CheckpointError, ConfigError

TEXTS = ["The trachea is open. No nodule; a 9.5 mm nodule (left lung).", "Heart size is normal, as is the aorta."] * 3
TOKENIZER = train_tokenizer(TEXTS, vocab_size=200, max_tokens=64)
WORDS = st.sampled_from(["the", "trachea", "9.5", "mm", "left", "Xylophone", "é", "(", "\x00", "\u200b", "🙂"])
SENTENCES = st.lists(st.lists(WORDS, max_size=6).map(" ".join), max_size=6)


def test_special_tokens_frame_the_text_and_sentences_are_numbered(tmp_path: Path) -> None:
    coded = TOKENIZER.encode(["Trachea is open.", "No nodule."], max_tokens=64)
    TOKENIZER.save(tmp_path)
    words = BertTokenizer.from_pretrained(tmp_path).convert_ids_to_tokens(list(coded.ids))
    assert words == ["[CLS]", "trachea", "is", "open", ".", "no", "nodule", ".", "[SEP]"]
    assert coded.sentence_of_token == (-1, 0, 0, 0, 0, 1, 1, 1, -1)
    assert coded.num_cut == 0
    assert (coded.ids[0], coded.ids[-1]) == (TOKENIZER.cls_id, TOKENIZER.sep_id)


@given(SENTENCES)
def test_tokens_are_those_of_each_sentence_by_itself(sentences: list[str]) -> None:
    coded = TOKENIZER.encode(sentences, max_tokens=10_000)
    alone = [TOKENIZER.encode([sentence], max_tokens=10_000).ids[1:-1] for sentence in sentences]
    assert coded.ids[1:-1] == tuple(i for ids in alone for i in ids)
    owners = [number for number, ids in enumerate(alone) for _ in ids]
    assert coded.sentence_of_token == (-1, *owners, -1)
    assert coded.num_cut == 0


@given(SENTENCES, st.integers(3, 20))
def test_texts_are_cut_after_the_last_whole_sentence_that_fits(sentences: list[str], limit: int) -> None:
    whole, cut = (TOKENIZER.encode(sentences, max_tokens=n) for n in (10_000, limit))
    assert len(cut.ids) <= limit
    assert cut.ids[:-1] == whole.ids[: len(cut.ids) - 1]
    assert cut.ids[-1] == TOKENIZER.sep_id
    if len(whole.ids) <= limit:
        assert cut == whole
        return
    kept, dropped = whole.sentence_of_token[1 : len(cut.ids) - 1], whole.sentence_of_token[len(cut.ids) - 1 : -1]
    assert cut.num_cut == len(sentences) - dropped[0]
    if kept[-1] == dropped[0]:
        assert set(kept) == {dropped[0]}  # a first sentence longer than the limit
        assert len(cut.ids) == limit
    else:
        assert len(cut.ids) + whole.sentence_of_token.count(dropped[0]) > limit


def test_a_text_without_sentences_is_two_special_tokens() -> None:
    coded = TOKENIZER.encode([], max_tokens=8)
    assert coded.ids == (TOKENIZER.cls_id, TOKENIZER.sep_id)
    assert coded.sentence_of_token == (-1, -1)


def test_the_vocabulary_is_limited_and_lower_cased() -> None:
    assert TOKENIZER.vocab_size <= 200
    assert TOKENIZER.encode(["TRACHEA"], max_tokens=8) == TOKENIZER.encode(["trachea"], max_tokens=8)
    assert len(TOKENIZER.encode(["trachea"], max_tokens=8).ids) == 3
    unknown = TOKENIZER.encode(["🙂"], max_tokens=8).ids[1]
    assert unknown == TOKENIZER.unk_id


def learned_from(texts: list[str]) -> str:
    return train_tokenizer(texts, vocab_size=150, max_tokens=64).identity


def test_every_process_learns_the_same_vocabulary() -> None:
    # The trainer's hash maps are seeded anew in every process, and in every call.
    texts = [f"{a}{b} {b}{a}{b}" for a in "abcdefghkl" for b in "mnopqrstuv"]
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from test_tokenizer import learned_from; import json;"
        "print(learned_from(json.loads(sys.argv[2])))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), json.dumps(texts)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {learned_from(texts) for _ in range(5)} == {out.stdout.strip()}


def test_a_saved_tokenizer_is_the_same(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    loaded = HFTokenizer.load(tmp_path)
    assert loaded.encode(TEXTS, max_tokens=20) == TOKENIZER.encode(TEXTS, max_tokens=20)
    ids = ("vocab_size", "pad_id", "mask_id", "cls_id", "sep_id")
    assert [getattr(loaded, name) for name in ids] == [getattr(TOKENIZER, name) for name in ids]


def test_cutting_and_padding_stored_in_a_file_are_ignored(tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path)
    stored = BertTokenizer.from_pretrained(tmp_path)
    stored.backend_tokenizer.enable_truncation(4)
    stored.backend_tokenizer.enable_padding(length=30)
    stored.save_pretrained(tmp_path)
    rules = json.loads((tmp_path / "tokenizer.json").read_text())
    assert (rules["truncation"]["max_length"], rules["padding"]["strategy"]) == (4, {"Fixed": 30})
    assert HFTokenizer.load(tmp_path).encode(TEXTS, max_tokens=64) == TOKENIZER.encode(TEXTS, max_tokens=64)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"{tmp_path}/none: holds no tokenizer"):
        HFTokenizer.load(tmp_path / "none")


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    class Unmasked:
        """A tokenizer of the GPT type."""

        pad_token_id = 0
        mask_token_id = None

        def __len__(self) -> int:
            return 3

    with pytest.raises(ConfigError, match="its tokenizer has no mask token"):
        HFTokenizer(Unmasked())


@given(SENTENCES, st.integers(3, 20))
def test_without_a_separator_there_is_room_for_one_token_more(sentences: list[str], limit: int) -> None:
    framed = TOKENIZER.encode(sentences, max_tokens=limit + 1)
    bare = TOKENIZER.encode(sentences, max_tokens=limit, separator=False)
    assert bare.ids == framed.ids[:-1]
    assert bare.sentence_of_token == framed.sentence_of_token[:-1]
    assert bare.num_cut == framed.num_cut


def test_tokens_of_a_text_have_their_characters() -> None:
    text = "No 9.5 mm  Nodule?"
    ids, spans = TOKENIZER.tokens(text)
    assert "".join(text[start:end] for start, end in spans) == text.replace(" ", "")
    assert tuple(ids) == TOKENIZER.encode([text], max_tokens=64).ids[1:-1]
