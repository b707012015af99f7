"""Features of a frozen text encoder: computed once, found again, never taken for another's."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from simcrop.adapters.text import findings_cache
from simcrop.adapters.text.encoder import HFTextEncoder, load_text_encoder
from simcrop.adapters.text.findings_cache import StoredFindings, keep_findings
from simcrop.adapters.text.tokenizer import HFTokenizer
from simcrop.core.data.batch import Encoding
from simcrop.core.data.study import Report, Study
from simcrop.core.errors import DataError
from simcrop.core.ports import SingleProcess
from simcrop.core.recipe import TextEncoderRecipe
from simcrop.core.reports.text import sentences_of

RECIPE = TextEncoderRecipe(
    hidden_size=16, depth=1, num_heads=2, vocab_size=128, max_tokens=24, dropout=0.1, frozen=True
)
TEXTS = ("The trachea is open. No nodule.", "Heart size is normal.", "", "The trachea is open. No nodule.")
STUDIES = [Study(f"s{i}", f"p{i}", Report(text, f"Impression {i}."), (f"v{i}",)) for i, text in enumerate(TEXTS)]


class CountingEncoder(nn.Module):
    """Counts the texts that it reads."""

    def __init__(self, encoder: HFTextEncoder) -> None:
        super().__init__()
        self.encoder, self.num_read = encoder, 0

    def forward(self, input_ids: Tensor, attention_mask: Tensor, sentence_of_token: Tensor | None) -> Tensor:
        self.num_read += 1
        return self.encoder(input_ids, attention_mask, sentence_of_token)


@pytest.fixture
def words() -> tuple[HFTokenizer, CountingEncoder]:
    torch.manual_seed(0)
    tokenizer, encoder = load_text_encoder(RECIPE, reports=lambda: TEXTS)
    return tokenizer, CountingEncoder(encoder)


def keep(
    words: tuple[HFTokenizer, CountingEncoder],
    cache: Path,
    studies: list[Study] = STUDIES,
    part: tuple[int, int] = (0, 1),
    recipe: TextEncoderRecipe = RECIPE,
) -> StoredFindings:
    tokenizer, encoder = words
    return keep_findings(
        studies,
        tokenizer=tokenizer,
        text_encoder=encoder,
        recipe=recipe,
        cache=cache,
        communicator=SingleProcess(),
        part=part,
    )


def tokens(words: tuple[HFTokenizer, CountingEncoder], study: Study) -> Encoding:
    return words[0].encode(sentences_of(study.report.findings), max_tokens=24)


@pytest.mark.parametrize("context", ["sentence", "report"])
def test_features_are_what_the_encoder_says_without_dropout(
    words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path, context: Literal["sentence", "report"]
) -> None:
    words[1].train()
    kept = keep(words, tmp_path, recipe=replace(RECIPE, context=context))
    for study in STUDIES:
        encoding = tokens(words, study)
        ids = torch.tensor([encoding.ids])
        owners = torch.tensor([encoding.sentence_of_token]) if context == "sentence" else None
        expected = words[1].eval()(ids, torch.ones_like(ids, dtype=torch.bool), owners)[0]
        found = kept.read(study.report, encoding)
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.float(), expected, atol=2e-3, rtol=1e-3)


def test_each_text_is_read_once_and_never_again(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    keep(words, tmp_path)
    assert words[1].num_read == 3
    changed = [*STUDIES, Study("s9", "p9", Report("Heart size is enlarged.", ""), ("v9",))]
    keep(words, tmp_path, changed)
    assert words[1].num_read == 4


def test_a_run_that_was_killed_is_completed(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    kept = keep(words, tmp_path)
    whole = {path.name: path.read_bytes() for path in kept.file(STUDIES[0].report).parent.iterdir()}
    gone = kept.file(STUDIES[1].report)
    gone.rename(gone.with_name(f".{gone.name}.1.draft"))
    keep(words, tmp_path)
    assert {p.name: p.read_bytes() for p in gone.parent.iterdir() if not p.name.startswith(".")} == whole
    assert words[1].num_read == 4


def test_ranks_share_the_work(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    keep(words, tmp_path, part=(0, 2))
    assert words[1].num_read == 2
    kept = keep(words, tmp_path, part=(1, 2))
    assert words[1].num_read == 3
    assert all(kept.file(study.report).is_file() for study in STUDIES)


def test_another_encoder_limit_or_context_is_no_hit(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    folders = {keep(words, tmp_path).file(STUDIES[0].report).parent}
    other_ways: list[dict[str, Any]] = [
        {"max_tokens": 12},
        {"context": "report"},
        {"sentence_rule": "published"},
        {"separator": False},
    ]
    for other_way in (replace(RECIPE, **changes) for changes in other_ways):
        folders.add(keep(words, tmp_path, recipe=other_way).file(STUDIES[0].report).parent)
    with torch.no_grad():
        next(words[1].parameters())[0, 0] += 1.0
    folders.add(keep(words, tmp_path).file(STUDIES[0].report).parent)
    other = load_text_encoder(RECIPE, reports=lambda: TEXTS[:1])[0]
    folders.add(keep((other, words[1]), tmp_path).file(STUDIES[0].report).parent)
    assert len(folders) == 7


def test_findings_that_were_divided_by_older_rules_are_no_hit(
    words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings_cache, "VERSION", findings_cache.VERSION - 1)
    old = keep(words, tmp_path)
    monkeypatch.undo()
    new = keep(words, tmp_path)
    assert new.file(STUDIES[0].report).parent != old.file(STUDIES[0].report).parent
    assert words[1].num_read == 6


def test_damage_is_found_and_named(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    kept, study = keep(words, tmp_path), STUDIES[0]
    path = kept.file(study.report)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read \(Bad CRC-32.*delete it and start again"):
        kept.read(study.report, tokens(words, study))
    path.write_bytes(bytes(data[:50]))
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read"):
        kept.read(study.report, tokens(words, study))
    path.unlink()
    with pytest.raises(DataError, match=rf"{path.name}: cannot be read .*No such file"):
        kept.read(study.report, tokens(words, study))


def test_features_of_other_tokens_are_refused(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    kept = keep(words, tmp_path)
    with pytest.raises(DataError, match=r"holds 2 tokens of findings that have \d+; delete its folder"):
        kept.read(STUDIES[2].report, tokens(words, STUDIES[0]))


def test_pickled_arrays_are_refused(words: tuple[HFTokenizer, CountingEncoder], tmp_path: Path) -> None:
    kept, study = keep(words, tmp_path), STUDIES[1]
    with kept.file(study.report).open("wb") as file:
        np.savez(file, features=np.array([{}], dtype=object))
    with pytest.raises(DataError, match=r"cannot be read \(Object arrays cannot be loaded"):
        kept.read(study.report, tokens(words, study))
