"""Sentences are encoded in their report, among others, or alone."""

import pytest
import torch
from support.held_out_fakes import FakeSource, WordTokenizer, held_out
from torch import Tensor, nn

from simcrop.core.data.batch import Tokens
from simcrop.core.evaluation.sentences import read_alone, read_findings, read_within
from simcrop.core.reports.reader import ReportReader


class EchoModel(nn.Module):
    """The feature of a sentence: the sum of its tokens, and the number of tokens before it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Module()
        self.encoder.cls_token = nn.Parameter(torch.zeros(1))

    def sentence_features(self, findings: Tokens, num_sentences: int) -> Tensor:
        ids, sentence_of_token = findings.ids, findings.sentence_of_token
        features = torch.zeros(len(ids), num_sentences, 2)
        for row in range(len(ids)):
            for sentence in range(num_sentences):
                own = sentence_of_token[row] == sentence
                if own.any():
                    features[row, sentence] = torch.tensor([int(ids[row, own].sum()), int(own.nonzero()[0])])
        return features


def texts_of(feature: Tensor) -> tuple[int, int]:
    total, first = feature.int().tolist()
    return total, first


def test_findings_are_read_study_after_study_without_what_does_not_fit() -> None:
    source = FakeSource()
    source.add(0, "One two. Three.", [], bright=None)
    source.add(1, "", [], bright=None)
    source.add(2, "Four. Five six seven eight.", [], bright=None)
    studies, _ = held_out(source, max_tokens=6)
    read = {each.study.study_id: each for each in read_findings(EchoModel(), studies, source.list)}
    assert list(read) == ["s0", "s1", "s2"]
    assert (read["s0"].findings.texts, read["s0"].findings.numbers) == (("One two.", "Three."), (0, 1))
    assert (read["s1"].findings.texts, read["s1"].findings.numbers) == ((), ())
    assert read["s1"].features.shape == (0, 2)
    assert read["s2"].findings.numbers == (0,)  # the second one is beyond the limit
    assert texts_of(read["s0"].of(1)) == (studies.reports.tokenizer.words.index("three"), 3)


def test_a_sentence_of_its_own_stands_first() -> None:
    tokenizer = WordTokenizer()
    features = read_alone(EchoModel(), ReportReader(tokenizer, 16), ["One.", "Two three."])
    assert [texts_of(each) for each in features] == [(4, 1), (5 + 6, 1)]


@pytest.mark.parametrize(
    ("findings", "before"),
    [
        (["A.", "B.", "here it is.", "C."], 2),  # at its place, whatever the case
        (["A.", "B.", "C.", "D."], 2),  # in the middle
        (["A."], 0),
        ([], 0),
    ],
)
def test_a_sentence_is_read_at_its_place_or_in_the_middle(findings: list[str], before: int) -> None:
    tokenizer = WordTokenizer()
    feature = read_within(EchoModel(), ReportReader(tokenizer, 64), "Here it  is.", findings)
    expected = sum(tokenizer.words.index(word) for word in ("here", "it", "is"))
    assert texts_of(feature) == (expected, 1 + before)


def test_company_that_does_not_fit_is_left_out_and_the_sentence_never_is() -> None:
    tokenizer = WordTokenizer()
    findings = [f"Word{number}." for number in range(40)]
    total, first = texts_of(read_within(EchoModel(), ReportReader(tokenizer, 12), "Here it is.", findings))
    assert total == sum(tokenizer.words.index(word) for word in ("here", "it", "is"))
    assert first == 1 + 3  # room for seven others, three of them before it
    at_the_end = [*findings, "Here it is."]
    total, first = texts_of(read_within(EchoModel(), ReportReader(tokenizer, 12), "Here it is.", at_the_end))
    assert total == sum(tokenizer.words.index(word) for word in ("here", "it", "is"))
